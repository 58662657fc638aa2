// What the browser does by itself: links within the app, the theme, saving of drawings.
(function () {
  "use strict";

  function go(href) {
    const target = new URL(href, location.href);
    if (target.pathname !== location.pathname) {
      scrollTo(0, 0);
    }
    dash_clientside.set_props("address", { pathname: target.pathname, search: target.search });
  }

  function withChoice(name, value) {
    const parts = location.search.replace(/^\?/, "").split("&");
    const kept = parts.filter((part) => part && !part.startsWith(name + "=") && !part.startsWith("name="));
    const chosen = value ? [name + "=" + value] : [];
    const all = kept.concat(chosen).join("&");
    return all ? "?" + all : "";
  }

  // What the axes were made with, for zoom.js; as text, because Plotly empties objects in which little stands.
  function axes(layout) {
    const names = Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name));
    const found = names.map((name) => [name, { range: layout[name].range }]);
    return JSON.stringify(Object.fromEntries(found));
  }

  // A click on a point that belongs to a cell opens it: its data are [text, key, …]. Plotly itself is asked, because
  // Dash hands on no data of heatmaps.
  function openOnClick(name, tries) {
    const box = document.getElementById(JSON.stringify({ kind: "plot", name: name }));
    const plot = box && box.querySelector(".js-plotly-plot");
    if (plot && plot.on) {
      if (!plot.dataset.opens) {
        plot.dataset.opens = "yes";
        plot.on("plotly_click", function (event) {
          const data = event.points[0].customdata;
          if (Array.isArray(data) && data[1]) {
            go("/cell" + withChoice("key", data[1]));
          }
        });
      }
    } else if (tries > 0) {
      setTimeout(openOnClick, 100, name, tries - 1);
    }
  }

  function save(button) {
    const plot = button.closest("section").querySelector(".js-plotly-plot");
    if (!plot) {
      return;
    }
    Plotly.downloadImage(plot, {
      format: button.dataset.save,
      filename: button.dataset.name,
      width: plot.clientWidth,
      height: plot.clientHeight,
      scale: button.dataset.save === "png" ? 2 : 1,
    });
  }

  function tell(text, wrong) {
    const box = document.getElementById("told");
    box.textContent = text.trim();
    box.className = wrong ? "problem" : "soft";
  }

  async function act(button) {
    const { act: action, study, cells } = button.dataset;
    if (action === "cancel" && !confirm("Cancel for good: " + button.ariaLabel.replace(/^cancel /, "") + "?")) {
      return;
    }
    await send(button, "/act", { action: action, study: study, cells: cells });
  }

  // True where it was done.
  async function send(button, address, body) {
    let done = false;
    button.disabled = true;
    try {
      const answer = await fetch(address, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      done = answer.ok;
      tell(await answer.text(), !done);
    } catch (error) {
      tell("the dashboard does not answer: " + error, true);
    }
    button.disabled = false;
    return done;
  }

  // Of a saved view the field holds the name, and the text is the address that is shown.
  async function annotate(button) {
    const { annotate: what, about, text, field } = button.dataset;
    const box = field && document.getElementById(field);
    const said = box ? box.value : text;
    const body = what === "save" ? { what, about: said, text: location.search } : { what, about, text: said };
    if ((await send(button, "/annotate", body)) && box) {
      dash_clientside.set_props(field, { value: "" });
    }
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("button[data-save]");
    if (button) {
      save(button);
      return;
    }
    const action = event.target.closest("button[data-act]");
    if (action) {
      act(action);
      return;
    }
    const annotation = event.target.closest("button[data-annotate]");
    if (annotation) {
      annotate(annotation);
      return;
    }
    const anchor = event.target.closest("a.go");
    if (anchor && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      go(anchor.href);
    }
  });

  document.addEventListener("keydown", function (event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.id === "sql-text") {
      event.preventDefault();
      document.getElementById("sql-run").click();
    }
  });

  // A drawing in a folded part has no size until the part is opened.
  document.addEventListener(
    "toggle",
    function (event) {
      if (event.target.open) {
        event.target.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.Plots.resize(plot));
      }
    },
    true
  );

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    actiongrid: {
      theme: function (clicks) {
        const root = document.documentElement;
        if (clicks) {
          root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
          localStorage.setItem("actiongrid-theme", root.dataset.theme);
        }
        return root.dataset.theme;
      },

      draw: function (text, current, id) {
        openOnClick(id.name, 50);
        const fresh = JSON.parse(text);
        fresh.layout.meta = { ...fresh.layout.meta, asked: axes(fresh.layout) };
        return fresh;
      },

      fold: function (text, id) {
        actiongridFolded.keep(id.name, text);
        return false;
      },

      choose: function () {
        const changed = dash_clientside.callback_context.triggered[0];
        if (!changed || changed.value === undefined || changed.value === null) {
          return;
        }
        const several = Array.isArray(changed.value);
        const name = several ? "cells" : "key";
        const search = withChoice(name, several ? changed.value.join(",") : changed.value);
        const shown = new URLSearchParams(location.search).get(name) || "";
        if (shown !== String(changed.value)) {
          go(location.pathname + search);
        }
      },

      run: function (clicks, text) {
        if (clicks) {
          const search = withChoice("q", encodeURIComponent(text));
          if (search === location.search) {
            dash_clientside.set_props("again", { data: Date.now() });
          } else {
            go("/sql" + search);
          }
        }
      },
    },
  });
})();
