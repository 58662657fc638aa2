// Dash replaces what changed by new elements. What somebody had focused or scrolled there is found again here.
(function () {
  "use strict";
  const scrolled = new Map();
  let focused = null;

  function slotOf(element) {
    return element && element.closest ? element.closest('#page [id^="{"]') : null;
  }

  function placeIn(slot, element) {
    const path = [];
    for (let one = element; one && one !== slot; one = one.parentElement) {
      path.unshift([...one.parentElement.children].indexOf(one));
    }
    return path;
  }

  function at(slot, path) {
    return path.reduce((one, place) => one && one.children[place], slot);
  }

  document.addEventListener("focusin", function (event) {
    const slot = slotOf(event.target);
    focused = slot && slot !== event.target
      ? { element: event.target, slot: slot.id, href: event.target.getAttribute("href"), path: placeIn(slot, event.target) }
      : null;
  });

  document.addEventListener("pointerdown", function () {
    focused = null;
  });

  document.addEventListener(
    "scroll",
    function (event) {
      const slot = slotOf(event.target);
      if (slot) {
        const path = placeIn(slot, event.target);
        const { scrollLeft, scrollTop } = event.target;
        scrolled.set(slot.id + path, { element: event.target, slot: slot.id, path, scrollLeft, scrollTop });
      }
    },
    true
  );

  function refocus() {
    if (!focused || focused.element.isConnected || document.activeElement !== document.body) {
      return;
    }
    const slot = document.getElementById(focused.slot);
    const byAddress = focused.href && slot && slot.querySelector('[href="' + CSS.escape(focused.href) + '"]');
    const found = byAddress || (slot && at(slot, focused.path));
    if (found) {
      found.focus({ preventScroll: true });
    }
  }

  function rescroll() {
    for (const [name, one] of scrolled) {
      const slot = document.getElementById(one.slot);
      if (!slot) {
        scrolled.delete(name);
      } else if (!one.element.isConnected) {
        const found = at(slot, one.path);
        if (found) {
          found.scrollLeft = one.scrollLeft;
          found.scrollTop = one.scrollTop;
          one.element = found;
        }
      }
    }
  }

  new MutationObserver(function () {
    rescroll();
    refocus();
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
