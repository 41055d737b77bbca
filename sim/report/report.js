"use strict";
// Draws the figures of the page with plotly. Every chart says how it is by data-status: waiting, drawn or failed; the body
// says "ready" when all visible charts are drawn and "failed" when one is not. Opened with #all, hidden panels show too.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const narrow = window.matchMedia("(max-width: 900px)");
  // The buttons are listed one by one: plotly's own choice includes one that uploads the chart.
  const buttons = [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]];
  const config = { responsive: true, displaylogo: false, modeBarButtons: buttons, plotlyServerURL: "" };
  if (narrow.matches) config.displayModeBar = false; // it would lie over the legend, which needs several rows there
  let syncing = false;

  const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

  function colored(value, style) {
    if (typeof value === "string") return value.startsWith("$") ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
    if (Array.isArray(value)) return value.map((item) => colored(item, style));
    if (!isPlain(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, colored(item, style)]));
  }

  function merged(base, more) {
    const result = { ...base };
    for (const [key, value] of Object.entries(more)) {
      result[key] = isPlain(value) && isPlain(result[key]) ? merged(result[key], value) : value;
    }
    return result;
  }

  const SMALL = { size: 12.5 };

  function axisBase(color) {
    return {
      automargin: true, gridcolor: color("grid"), linecolor: color("rule"), showline: false, ticks: "", tickfont: SMALL,
      zeroline: false, zerolinecolor: color("muted"), zerolinewidth: 1, title: { standoff: 8, font: SMALL },
    };
  }

  function layoutBase(style, layout, height) {
    const color = (name) => style.getPropertyValue("--" + name).trim();
    const clear = "rgba(0,0,0,0)";
    const base = {
      height, autosize: true, paper_bgcolor: clear, plot_bgcolor: clear, separators: ".,", dragmode: "zoom", showlegend: true,
      hoversubplots: "axis",
      font: { ...SMALL, family: getComputedStyle(document.body).fontFamily, color: color("ink") },
      margin: { l: 56, r: 12, t: 40, b: 12 },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", font: SMALL },
      hoverlabel: { font: { ...SMALL, color: color("ink") }, namelength: -1, bgcolor: color("card"), bordercolor: color("rule") },
      modebar: { bgcolor: clear, color: color("rule"), activecolor: color("muted") },
    };
    const axes = Object.keys(layout).filter((key) => /^[xy]axis/.test(key));
    for (const key of ["xaxis", "yaxis", ...axes]) base[key] = axisBase(color);
    if (layout.xaxis && layout.xaxis.type === "date") {
      base.margin.l = narrow.matches ? 68 : 92; // one left edge for all time charts
      if (narrow.matches) base.xaxis.nticks = 5;
    }
    return base;
  }

  // Plotly leaves out a trace that it cannot draw without a word; a chart with one missing is not drawn.
  function requireDrawn(element, traces) {
    const full = element._fullData || [];
    const missing = traces.filter((trace, k) => trace.visible !== "legendonly" && !(full[k] && full[k].visible === true));
    if (!traces.length || missing.length) throw new Error(missing.length + " of " + traces.length + " traces were not drawn");
  }

  async function draw(element) {
    const style = getComputedStyle(root);
    const figure = structuredClone(figures[element.id]);
    const layout = merged(layoutBase(style, figure.layout, figure.height), colored(figure.layout, style));
    try {
      await Plotly.react(element, colored(figure.traces, style), layout, config);
      if (!element.dataset.linked && figure.layout.xaxis && figure.layout.xaxis.type === "date") link(element);
      requireDrawn(element, figure.traces);
      element.dataset.status = "drawn";
    } catch (error) {
      element.dataset.status = "failed";
      console.error(element.id, error);
    }
  }

  // Zooming one time chart zooms its neighbours of the same section.
  function link(element) {
    element.dataset.linked = "yes";
    element.on("plotly_relayout", (change) => {
      if (syncing) return;
      const reset = change["xaxis.autorange"];
      const range = change["xaxis.range"] || [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (!reset && range[0] === undefined) return;
      syncing = true;
      const others = element.closest("section").querySelectorAll('.chart[data-linked="yes"]');
      const moves = [...others].filter((other) => visible(other)).map((other) => {
        const whole = figures[other.id].layout.xaxis.range;
        return Plotly.relayout(other, { "xaxis.range": reset ? whole.slice() : range.slice() });
      });
      Promise.all(moves).finally(() => { syncing = false; });
    });
  }

  const visible = (element) => !element.closest("[hidden]");

  async function drawVisible(again) {
    const charts = [...document.querySelectorAll(".chart")].filter(visible);
    for (const element of charts) if (again || element.dataset.status === "waiting") await draw(element);
    const failed = charts.some((element) => element.dataset.status !== "drawn");
    document.body.dataset.status = failed ? "failed" : "ready";
  }

  function showChosen(select) {
    for (const option of select.options) document.getElementById(option.value).hidden = !option.selected;
  }

  function setTheme(name) {
    root.dataset.theme = name;
    document.getElementById("theme").textContent = name === "dark" ? "Light" : "Dark";
  }

  function start() {
    const preferred = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    setTheme(location.hash.includes("dark") ? "dark" : location.hash.includes("light") ? "light" : preferred);
    document.getElementById("theme").addEventListener("click", () => {
      setTheme(root.dataset.theme === "dark" ? "light" : "dark");
      drawVisible(true);
    });
    const everything = location.hash.includes("all");
    for (const select of document.querySelectorAll("select")) {
      if (!everything) showChosen(select);
      else for (const option of select.options) document.getElementById(option.value).hidden = false;
      select.addEventListener("change", () => { showChosen(select); drawVisible(false); });
    }
    drawVisible(false);
  }

  start();
})();
