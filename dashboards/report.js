"use strict";
// Figures take the page's colours, so that one file suits light and dark screens and paper.
const dark = matchMedia("(prefers-color-scheme: dark)");
const config = { displaylogo: false, responsive: true, showSendToCloud: false, displayModeBar: "hover",
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };

function colours(isDark) {
  return isDark
    ? { text: "#c9d1da", grid: "rgba(255,255,255,.12)", line: "rgba(255,255,255,.35)", box: "#262c35" }
    : { text: "#333a42", grid: "rgba(0,0,0,.10)", line: "rgba(0,0,0,.40)", box: "#ffffff" };
}

function themed(layout, isDark) {
  const c = colours(isDark);
  const update = { "font.color": c.text, "hoverlabel.bgcolor": c.box, "hoverlabel.font.color": c.text };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    update[name + ".gridcolor"] = c.grid;
    update[name + ".linecolor"] = c.line;
    update[name + ".zerolinecolor"] = c.line;
  }
  (layout.updatemenus || []).forEach((_, index) => {
    update[`updatemenus[${index}].bgcolor`] = c.box;
    update[`updatemenus[${index}].bordercolor`] = c.line;
    update[`updatemenus[${index}].font.color`] = isDark ? "#8fb8e8" : c.text;
  });
  return update;
}

const plots = [...document.querySelectorAll(".plot")];
const paint = (isDark) => plots.forEach((plot) => Plotly.relayout(plot, themed(plot.layout, isDark)));

for (const plot of plots) {
  const figure = JSON.parse(plot.nextElementSibling.textContent);
  if (plot.clientWidth < 480) {
    figure.layout.margin = { ...figure.layout.margin, l: 44, r: 6 };
  }
  Plotly.newPlot(plot, figure.data, figure.layout, config)
    .then(() => Plotly.relayout(plot, themed(plot.layout, dark.matches)));
}
dark.addEventListener("change", () => paint(dark.matches));
addEventListener("beforeprint", () => { paint(false); plots.forEach((plot) => Plotly.Plots.resize(plot)); });
addEventListener("afterprint", () => { paint(dark.matches); plots.forEach((plot) => Plotly.Plots.resize(plot)); });

// A click on a heading sorts; missing values stay at the end.
function value(row, index) {
  const cell = row.cells[index];
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  return cell.classList.contains("number") ? NaN : cell.textContent;
}
function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, "en", { numeric: true });
  return a - b;
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => head.addEventListener("click", () => {
    const descending = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, index), row]);
    const known = rows.filter(([key]) => key === key).sort((a, b) => compare(a[0], b[0]));
    if (descending) known.reverse();
    table.tBodies[0].append(...[...known, ...rows.filter(([key]) => key !== key)].map(([, row]) => row));
  }));
}
for (const input of document.querySelectorAll("input.filter")) {
  const rows = [...document.querySelectorAll("#" + input.getAttribute("aria-controls") + " tbody tr")];
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    rows.forEach((row) => { row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word)); });
  });
}
