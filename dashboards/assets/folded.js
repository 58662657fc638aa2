// Folded parts are made when they are opened, and made anew when news come while they are open.
window.actiongridFolded = (function () {
  "use strict";

  const texts = new Map();

  function fill(box) {
    const text = texts.get(box.dataset.name);
    if (text !== undefined && box.closest("details").open) {
      const place = box.querySelector(".scroll");
      const [x, y] = place ? [place.scrollLeft, place.scrollTop] : [0, 0];
      // The server has escaped everything that comes from data.
      box.innerHTML = text;
      const now = box.querySelector(".scroll");
      if (now) {
        now.scrollTo(x, y);
      }
    }
  }

  document.addEventListener(
    "toggle",
    function (event) {
      event.target.querySelectorAll(":scope > .folded").forEach(fill);
    },
    true
  );

  return {
    keep: function (name, text) {
      texts.set(name, text);
      document.querySelectorAll(".folded").forEach((box) => box.dataset.name === name && fill(box));
    },
  };
})();
