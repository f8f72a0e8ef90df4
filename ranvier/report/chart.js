// Draws the charts of a page: each <figure data-chart='{…}'> gets a picture with values on hover,
// and on touch. The fields of a chart are those of `Chart.spec` in chart.py.
(() => {
  const COLOURS = ["var(--first)", "var(--second)", "var(--third)", "var(--fourth)",
                   "var(--fifth)", "var(--sixth)"];
  const SYMBOLS = ["circle", "square", "triangle", "diamond"];  // for each round of the colours
  const SIGNS = ["●", "■", "▲", "◆"];
  const DASHES = [null, "7 3", "2 3", "7 3 2 3"];
  const LETTER = 6.8;  // the width of a letter in pixels
  const MOST_POINTS = 30;  // of a line whose points are drawn, too

  function draw(figure) {
    const chart = JSON.parse(figure.dataset.chart);
    const target = figure.querySelector(".drawing");
    const width = Math.max(240, Math.min(target.clientWidth || 480, 640));
    const view = { chart, width, names: chart.marks.flatMap((m) => m.names || []),
                   look: (label) => looks(chart.colours[label] ?? 0) };
    view.lying = view.names.some((name) => name.length * LETTER > (width - 60) / view.names.length);
    const marks = [...chart.marks.flatMap((mark) => KINDS[mark.kind](mark, view)), ...tips(view)];
    target.replaceChildren(...legend(view), Plot.plot({ ...frame(view), marks }));
  }

  // ---------------------------------------------------------------- the frame

  function frame(view) {
    const { chart, width, names, lying } = view;
    const values = { label: chart.y || null, grid: true, ...scale(view, "y", lying ? width / 70 : 6) };
    const others = { label: chart.x || null,
                     ...(names.length ? bands(view) : scale(view, "x", width / 70)) };
    const side = lying ? others : values;
    const named = chart.marks.some((m) => m.kind === "rule" && m.label && upright(m, view));
    const room = 16 + LETTER * Math.max(2, ...side.ticks.map((t) => side.tickFormat(t).length));
    return {
      width, marginLeft: room, marginRight: 24, marginTop: named ? 42 : 26, marginBottom: 38,
      ...height(view), ariaLabel: chart.title,
      style: { background: "transparent", fontSize: "12px", overflow: "visible" },
      ...(lying ? { x: values, y: others } : { x: others, y: values }),
    };
  }

  function height({ chart, width, names, lying }) {
    if (lying) return { height: 70 + 26 * names.length };
    const flat = { height: Math.round(width * 0.6) };
    if (!chart.square || chart.logX || chart.logY) return flat;
    const [across, up] = ["x", "y"].map((side) => d3.extent(numbers(chart, side)));
    const ratio = (up[1] - up[0]) / (across[1] - across[0]);
    return ratio > 0.1 && ratio < 1.5 ? { aspectRatio: 1 } : flat;
  }

  function bands({ names, width, lying }) {
    const most = lying ? Math.floor(width * 0.4 / LETTER) : Infinity;
    const tickFormat = (n) => (n.length > most ? `${n.slice(0, most - 1)}…` : n);
    const domain = [...new Set(names)];
    return { type: "band", domain, ticks: domain, tickFormat };
  }

  function scale({ chart }, side, most) {
    const log = chart[side === "x" ? "logX" : "logY"];
    const found = numbers(chart, side).filter((v) => !log || v > 0);
    const picture = !chart[side] && chart.marks.every((m) => m.kind === "cells");
    if (!found.length || picture) return { type: "linear", ticks: [], tickFormat: number };
    const bars = side === "y" && chart.marks.some((m) => m.kind === "bars");
    const [low, high] = d3.extent(bars ? [...found, foot(chart)] : found);
    const even = d3.ticks(low, high, most);
    const whole = side === "x" && found.every(Number.isInteger);
    const ticks = log ? powers(low, high, most) : whole ? even.filter(Number.isInteger) : even;
    return { type: log ? "log" : "linear", ticks, tickFormat: (v) => number(v, log ? 1e4 : 1e6) };
  }

  function powers(low, high, most) {
    const decades = Math.log10(high / low);
    if (decades < 1) return d3.ticks(low, high, most);
    const digits = decades < 2 ? [1, 2, 5] : decades < most / 2 ? [1, 3] : [1];
    const step = Math.ceil((decades * digits.length) / most / 1.5);
    return d3.range(Math.floor(Math.log10(low)), Math.log10(high) + 1, step)
      .flatMap((power) => digits.map((digit) => +`${digit}e${power}`))
      .filter((v) => v >= low * 0.999 && v <= high * 1.001);
  }

  // Whether a rule stands upright, with its name above the frame.
  const upright = (rule, { lying }) => (rule.y === null) !== lying;

  // All that a chart shows along an axis.
  function numbers(chart, side) {
    const [start, end] = side === "x" ? ["left", "right"] : ["bottom", "top"];
    return chart.marks.flatMap((m) => [
      ...(m.kind === "rule" ? [m[side]] : m[side] || []), m[start], m[end],
      ...(side === "y" ? [...(m.values || []), ...(m.low || []), ...(m.high || [])] : []),
    ]).filter(Number.isFinite);
  }

  // Where bars stand: a logarithmic scale has no zero.
  const foot = (chart) => (chart.logY
    ? 10 ** Math.floor(Math.log10(d3.min(numbers(chart, "y").filter((v) => v > 0)))) : 0);

  function number(v, most = 1e6) {
    const size = Math.abs(v);
    if (v === 0 || (size >= 1e-3 && size < most)) return `${+v.toPrecision(5)}`.replace("-", "−");
    const [digits, power] = v.toExponential(4).split("e").map(Number);
    const raised = [...`${power}`].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("");
    return `${digits === 1 ? "" : `${digits}·`}10${raised}`.replace("-", "−");
  }

  // ---------------------------------------------------------------- series

  function looks(number) {
    const round = Math.floor(number / COLOURS.length) % SYMBOLS.length;
    return { colour: COLOURS[number % COLOURS.length], symbol: SYMBOLS[round], sign: SIGNS[round],
             dash: DASHES[round] };
  }

  function legend({ chart, look }) {
    const drawn = chart.marks.flatMap((m) => m.labels || (m.kind !== "rule" && m.label) || []);
    const labels = [...new Set(drawn)];
    if (labels.length < 2 && !labels.some((label) => chart.colours[label] > 0)) return [];
    const list = document.createElement("div");
    list.className = "legend";
    for (const label of labels) {
      const item = document.createElement("span");
      const sign = document.createElement("i");
      sign.style.color = look(label).colour;
      sign.textContent = look(label).sign;
      item.append(sign, label);
      list.append(item);
    }
    return [list];
  }

  const rowsOf = (mark, ...names) =>
    (mark[names[0]] || []).map((_, i) => Object.fromEntries(names.map((n) => [n, mark[n]?.[i]])));

  const known = (rows) => rows.filter((d) => Number.isFinite(d.x) && Number.isFinite(d.y));

  // ---------------------------------------------------------------- values on hover

  // One tip for all marks, above them: that of the nearest point, or of the nearest x of lines.
  function tips({ chart, width, lying }) {
    const points = chart.marks.filter((m) => m.kind === "line" || m.kind === "dots").flatMap((m) =>
      known(rowsOf(m, "x", "y", "low", "high", "labels")).map((d) => ({ ...d, label: d.labels || m.label })));
    const bars = chart.marks.filter((m) => m.kind === "bars").flatMap((m) =>
      rowsOf(m, "names", "values", "low", "high"));
    const lines = !chart.marks.some((m) => m.kind === "dots");
    const shared = { lineWidth: Math.min(20, width / 30), maxRadius: lines ? Infinity : 40 };
    const said = (d) => [d.label, `${chart.x || "x"}: ${number(d.x)}`,
                         `${chart.y || "y"}: ${number(d.y)}${between(d)}`].filter(Boolean).join("\n");
    const near = lines ? Plot.pointerX : Plot.pointer;
    const [name, value, nearBar] = lying ? ["y", "x", Plot.pointerY] : ["x", "y", Plot.pointerX];
    return [
      ...(points.length ? [
        Plot.dot(points, near({ x: "x", y: "y", r: 5, stroke: "var(--ink)", maxRadius: shared.maxRadius })),
        Plot.tip(points, near({ x: "x", y: "y", ...shared, title: said })),
      ] : []),
      ...(bars.length ? [Plot.tip(bars, nearBar({ [name]: "names", [value]: "values", ...shared,
        title: (d) => `${d.names}\n${chart.y || "value"}: ${number(d.values)}${between(d)}` }))] : []),
    ];
  }

  const between = (d) =>
    (Number.isFinite(d.low) && Number.isFinite(d.high) ? ` (${number(d.low)} to ${number(d.high)})` : "");

  // ---------------------------------------------------------------- marks

  const KINDS = {
    line(mark, { look }) {
      const rows = rowsOf(mark, "x", "y", "low", "high");
      const { colour: stroke, dash, symbol } = look(mark.label);
      const band = mark.low
        ? [Plot.areaY(rows, { x: "x", y1: "low", y2: "high", fill: stroke, fillOpacity: 0.16 })] : [];
      const points = rows.length <= MOST_POINTS
        ? [Plot.dot(known(rows), { x: "x", y: "y", fill: stroke, symbol, r: 2.6 })] : [];
      return [...band, Plot.lineY(rows, { x: "x", y: "y", stroke, strokeWidth: 2, strokeDasharray: dash }),
              ...points];
    },
    dots(mark, { look }) {
      const rows = known(rowsOf(mark, "x", "y", "labels")
        .map((d) => ({ ...d, label: d.labels || mark.label })));
      const few = rows.length <= 12;  // which are seen on coloured cells, too
      const size = { r: few ? 5 : 2.6, fillOpacity: few ? 1 : 0.8, ...(few ? { stroke: "var(--card)" } : {}) };
      return d3.groups(rows, (d) => d.label).map(([label, own]) =>
        Plot.dot(own, { x: "x", y: "y", fill: look(label).colour, symbol: look(label).symbol, ...size }));
    },
    bars(mark, { chart, lying }) {
      const rows = rowsOf(mark, "names", "values", "low", "high");
      const [name, value] = lying ? ["y", "x"] : ["x", "y"];
      const base = foot(chart);
      const bar = (lying ? Plot.barX : Plot.barY)(rows, { [name]: "names", [`${value}1`]: base,
        [`${value}2`]: "values", fill: "var(--first)" });
      const reach = { [name]: "names", [`${value}1`]: "low", [`${value}2`]: "high", strokeWidth: 1.6 };
      const ends = mark.low ? [(lying ? Plot.ruleY : Plot.ruleX)(rows, { ...reach, stroke: "var(--ink)" })] : [];
      return [bar, ...ends, (lying ? Plot.ruleX : Plot.ruleY)([base])];
    },
    rule(mark, view) {
      const stands = upright(mark, view);
      const at = mark.y ?? mark.x;
      const line = (stands ? Plot.ruleX : Plot.ruleY)([at], { stroke: "var(--soft)", strokeDasharray: "5 4" });
      if (!mark.label) return [line];
      // Towards the side with more room.
      const side = mark.y === null ? "x" : "y";
      const [low, high] = d3.extent(numbers(view.chart, side));
      const far = at > (view.chart[side === "x" ? "logX" : "logY"] ? Math.sqrt(low * high) : (low + high) / 2);
      const place = stands
        ? { x: () => at, frameAnchor: "top", dy: -11, dx: far ? 4 : -4, textAnchor: far ? "end" : "start" }
        : { y: () => at, frameAnchor: "right", dy: far ? 8 : -8, textAnchor: "end" };
      return [line, Plot.text([mark.label], { ...place, fill: "var(--soft)", stroke: "var(--card)",
                                              strokeWidth: 4 })];
    },
    cells(mark) {
      const source = painted(mark);
      return [(index, scales) => {
        const [x1, x2] = [scales.x(mark.left), scales.x(mark.right)];
        const [y1, y2] = [scales.y(mark.top), scales.y(mark.bottom)];
        const node = document.createElementNS("http://www.w3.org/2000/svg", "image");
        for (const [key, value] of Object.entries({ x: Math.min(x1, x2), y: Math.min(y1, y2),
          width: Math.abs(x2 - x1), height: Math.abs(y2 - y1), preserveAspectRatio: "none",
          href: source })) node.setAttribute(key, value);
        node.style.imageRendering = "pixelated";
        return node;
      }, Plot.dot([[mark.left, mark.bottom], [mark.right, mark.top]], { r: 0, strokeWidth: 0 })];
    },
  };

  // The cells as a picture in the colours of the page, as an address.
  function painted(mark) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [mark.columns, mark.rows];
    const context = canvas.getContext("2d");
    const image = context.createImageData(mark.columns, mark.rows);
    const style = getComputedStyle(document.documentElement);
    const ramp = d3.piecewise(d3.interpolateRgb,
      ["--second", "--card", "--first"].map((name) => style.getPropertyValue(name).trim()));
    const table = Array.from({ length: 256 }, (_, i) => d3.rgb(ramp(i / 255)));
    mark.levels.forEach((level, i) => {
      const row = mark.rows - 1 - Math.floor(i / mark.columns);  // the canvas begins on top
      const c = table[level];
      image.data.set([c.r, c.g, c.b, 160], 4 * (row * mark.columns + (i % mark.columns)));
    });
    context.putImageData(image, 0, 0);
    return canvas.toDataURL();
  }

  const all = () => document.querySelectorAll("figure[data-chart]").forEach(draw);
  const start = () => {
    all();
    let waiting;
    let width = innerWidth;
    addEventListener("resize", () => {
      if (innerWidth === width) return;  // the bars of a phone's browser come and go
      width = innerWidth;
      clearTimeout(waiting);
      waiting = setTimeout(all, 150);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
