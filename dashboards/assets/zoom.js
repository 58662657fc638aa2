// Zooms survive news. Between a new figure's making and its drawing somebody may zoom, so that what the axes show is
// looked at in the very moment of drawing; and nothing is drawn under the hands of somebody who drags.
(function () {
  "use strict";
  const PAUSE = 40;
  const FORGOTTEN = 5000;
  const asked = new WeakMap();
  const left = new Map();

  function same(one, other) {
    return JSON.stringify(one) === JSON.stringify(other);
  }

  // An axis was zoomed by hand where it shows another range than the one that was asked for.
  function zoomed(shown, before) {
    if (!shown || !shown.range || shown.autorange === true) {
      return false;
    }
    return before.range ? !same(shown.range, before.range) : true;
  }

  // The ranges that somebody chose, by axis.
  function chosen(plot) {
    const before = JSON.parse(asked.get(plot));
    const names = Object.keys(before).filter((name) => zoomed((plot.layout || {})[name], before[name]));
    return Object.fromEntries(names.map((name) => [name, plot.layout[name].range.slice()]));
  }

  function place(plot) {
    const named = plot.closest('[id^="{"]');
    return named ? location.href + named.id : "";
  }

  // A page that gets other parts is made anew, drawings included: what was chosen in the old one counts in the new one.
  function leave(plot) {
    left.set(place(plot), { ranges: chosen(plot), time: Date.now() });
  }

  function taken(plot) {
    const name = place(plot);
    const found = left.get(name);
    left.delete(name);
    return found && Date.now() - found.time < FORGOTTEN ? found.ranges : {};
  }

  // What a figure was made with stands in `layout.meta.asked`: Dash draws figures again with the zoom written into them.
  function keepZoom(plot, layout) {
    const made = (layout.meta || {}).asked;
    if (!made) {
      return;
    }
    const ranges = asked.has(plot) ? chosen(plot) : taken(plot);
    asked.set(plot, made);
    for (const name of Object.keys(ranges)) {
      if (layout[name]) {
        layout[name].range = ranges[name];
        layout[name].autorange = false;
      }
    }
  }

  function idle(plot) {
    return plot._dragging ? new Promise((done) => setTimeout(done, PAUSE)).then(() => idle(plot)) : Promise.resolve();
  }

  function watch(plotly) {
    const react = plotly.react;
    plotly.react = function (target, figure, ...rest) {
      const plot = typeof target === "string" ? document.getElementById(target) : target;
      function draw() {
        if (figure && figure.layout) {
          keepZoom(plot, figure.layout);
        }
        return react.call(plotly, plot, figure, ...rest);
      }
      return plot._dragging ? idle(plot).then(draw) : draw();
    };
    const purge = plotly.purge;
    plotly.purge = function (target) {
      const plot = typeof target === "string" ? document.getElementById(target) : target;
      if (asked.has(plot)) {
        leave(plot);
      }
      return purge.call(plotly, target);
    };
    return plotly;
  }

  // Plotly comes with the first figure, after this file.
  let known = window.Plotly && watch(window.Plotly);
  Object.defineProperty(window, "Plotly", {
    configurable: true,
    get: () => known,
    set: (plotly) => {
      known = plotly && watch(plotly);
    },
  });
})();
