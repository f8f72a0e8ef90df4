// Draws the charts of a page: each <figure data-chart='{…}'> gets a picture with values on hover.
(() => {
  const COLOURS = ["var(--first)", "var(--second)", "var(--third)", "var(--fourth)",
                   "var(--fifth)", "var(--sixth)"];
  const powers = { ticks: 6, tickFormat: (d) => +d.toPrecision(3) + "" };
  const zip = (mark, ...names) =>
    (mark[names[0]] || []).map((_, i) => Object.fromEntries(names.map((n) => [n, mark[n]?.[i]])));

  function draw(figure) {
    const chart = JSON.parse(figure.dataset.chart);
    const labels = [...new Set(chart.marks.flatMap((m) => m.labels || (m.label && m.kind !== "rule" ? [m.label] : [])))];
    const colour = (label) => COLOURS[Math.max(labels.indexOf(label), 0) % COLOURS.length];
    const marks = chart.marks.flatMap((mark) => KINDS[mark.kind](mark, colour, chart));
    const width = Math.max(260, Math.min(figure.clientWidth || 480, 640));
    const bars = chart.marks.some((m) => m.kind === "bars");
    const picture = Plot.plot({
      width,
      height: chart.square ? width * 0.86 : Math.round(width * 0.6),
      marginLeft: 52, marginBottom: bars ? 60 : 38,
      style: { background: "transparent", fontSize: "12px", overflow: "visible" },
      x: { label: chart.x || null, type: bars ? "band" : chart.logX ? "log" : "linear",
           tickRotate: bars ? -25 : 0, ...(chart.logX ? powers : {}) },
      y: { label: chart.y || null, type: chart.logY ? "log" : "linear", grid: true,
           ...(chart.logY ? powers : {}) },
      aspectRatio: chart.square ? 1 : undefined,
      ariaLabel: chart.title,
      marks,
    });
    const target = figure.querySelector(".drawing");
    target.replaceChildren(...(labels.length > 1 ? [legend(labels, colour)] : []), picture);
  }

  function legend(labels, colour) {
    const list = document.createElement("div");
    list.className = "legend";
    for (const label of labels) {
      const item = document.createElement("span");
      const dot = document.createElement("i");
      dot.style.background = colour(label);
      item.append(dot, label);
      list.append(item);
    }
    return list;
  }

  const tip = (rows, chart, stroke) =>
    Plot.tip(rows, Plot.pointer({ x: "x", y: "y", stroke,
      title: (d) => [d.label, `${chart.x || "x"}: ${short(d.x)}`, `${chart.y || "y"}: ${short(d.y)}`]
        .filter(Boolean).join("\n") }));
  const short = (v) => (typeof v === "number" ? +v.toPrecision(5) : v);

  const KINDS = {
    line(mark, colour, chart) {
      const rows = zip(mark, "x", "y", "low", "high").map((d) => ({ ...d, label: mark.label }));
      const stroke = colour(mark.label);
      const band = mark.low
        ? [Plot.areaY(rows, { x: "x", y1: "low", y2: "high", fill: stroke, fillOpacity: 0.16 })] : [];
      const points = rows.length <= 30
        ? [Plot.dot(rows, { x: "x", y: "y", fill: stroke, r: 2.6 })] : [];
      return [...band, Plot.lineY(rows, { x: "x", y: "y", stroke, strokeWidth: 2 }), ...points,
              tip(rows, chart, stroke)];
    },
    dots(mark, colour, chart) {
      const rows = zip(mark, "x", "y", "labels").map((d) => ({ ...d, label: d.labels || mark.label }));
      const few = rows.length <= 12;  // which are seen on coloured cells, too
      return [Plot.dot(rows, { x: "x", y: "y", r: few ? 5 : 2.6, fillOpacity: few ? 1 : 0.8,
                               fill: (d) => colour(d.label), ...(few ? { stroke: "var(--card)" } : {}) }),
              tip(rows, chart, "currentColor")];
    },
    bars(mark) {
      const rows = zip(mark, "names", "values", "low", "high");
      const ends = mark.low
        ? [Plot.ruleX(rows, { x: "names", y1: "low", y2: "high", strokeWidth: 1.6 })] : [];
      return [Plot.barY(rows, { x: "names", y: "values", fill: "var(--first)", tip: true,
                                title: (d) => `${d.names}\n${short(d.values)}` }),
              ...ends, Plot.ruleY([0])];
    },
    rule(mark, colour) {
      const across = mark.y !== null;
      const options = { stroke: "var(--soft)", strokeDasharray: "5 4" };
      const line = across ? Plot.ruleY([mark.y], options) : Plot.ruleX([mark.x], options);
      const place = across ? { y: () => mark.y, frameAnchor: "right", dy: -7, textAnchor: "end" }
                           : { x: () => mark.x, frameAnchor: "top", dx: 6, textAnchor: "start" };
      return mark.label
        ? [line, Plot.text([mark.label], { ...place, fill: "var(--soft)" })] : [line];
    },
    cells(mark) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [mark.columns, mark.rows];
      const context = canvas.getContext("2d");
      const image = context.createImageData(mark.columns, mark.rows);
      const ramp = d3.interpolateRgbBasis(["#b04a00", "#f3efe6", "#0b62c4"]);
      const table = Array.from({ length: 256 }, (_, i) => d3.rgb(ramp(i / 255)));
      mark.levels.forEach((level, i) => {
        const row = mark.rows - 1 - Math.floor(i / mark.columns);  // the canvas begins on top
        const at = 4 * (row * mark.columns + (i % mark.columns));
        const c = table[level];
        image.data.set([c.r, c.g, c.b, 150], at);
      });
      context.putImageData(image, 0, 0);
      const source = canvas.toDataURL();
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

  const all = () => document.querySelectorAll("figure[data-chart]");
  const start = () => {
    all().forEach(draw);
    let waiting;
    addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => all().forEach(draw), 150); });
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
