// Draws one sample's way through a network. A small network of dense layers is drawn whole, with
// its weights; of others each layer is a row of maps or units. The box above says how a number
// under the pointer came about, as a sum or a product of other numbers on the page.
(() => {
  const layers = JSON.parse(document.getElementById("data").textContent).layers;
  const detail = document.getElementById("detail");
  const text = (v) => (v === undefined ? "?" : Math.abs(v) >= 1e5 || (v && Math.abs(v) < 1e-4)
    ? v.toExponential(3) : String(+v.toPrecision(5)));
  const size = (shape) => shape.reduce((a, b) => a * b, 1);
  const make = (tag, attributes = {}, ...children) => {
    const svg = ["svg", "g", "line", "circle", "text", "title"].includes(tag);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const signed = (terms) => terms.map((t) => `(${t})`).join(" + ") || "0";
  const say = (title, lines) => detail.replaceChildren(make("b", {}, title),
    ...lines.map((line) => make("p", { class: "sum" }, line)));

  // ------------------------------------------------------------ dense layers

  // A column: the sums of a dense layer, and the activation that follows it, if one does.
  function columns() {
    const found = [];
    for (const layer of layers) {
      if (layer.kind === "Linear" && layer.out.shape.length === 1) {
        found.push({ linear: layer, activation: null });
      } else if (found.length && !found.at(-1).activation && elementwise(layer)) {
        found.at(-1).activation = layer;
      } else return null;
    }
    return found.length ? found : null;
  }
  const elementwise = (layer) => !Object.keys(layer.parameters).length
    && String(layer.in.shape) === String(layer.out.shape) && layer.out.shape.length === 1;
  const given = (column) => (column.activation || column.linear).out;

  function sumOf(linear, j) {
    const [inputs, outputs] = linear.parameters.weight.shape;
    const { value } = linear.parameters.weight;
    const terms = Array.from({ length: inputs }, (_, i) => ({ i, w: value[i * outputs + j], a: linear.in.value[i] }));
    const bias = linear.parameters.bias ? linear.parameters.bias.value[j] : null;
    return { terms, bias, total: linear.out.value[j] };
  }

  function sumLine(linear, j) {
    const { terms, bias, total } = sumOf(linear, j);
    const shown = terms.length <= 12 ? terms
      : [...terms].sort((p, q) => Math.abs(q.w * q.a) - Math.abs(p.w * p.a)).slice(0, 8);
    const more = terms.length - shown.length;
    return `z = Σ w·a + b = ${signed(shown.map((t) => `${text(t.w)} × ${text(t.a)}`))}`
      + (more ? ` + ${more} smaller terms` : "") + (bias === null ? "" : ` + ${text(bias)}`) + ` = ${text(total)}`;
  }

  // δ at the sums: the slope of the activation times what comes back from the layer behind.
  function deltaLines(linear, activation, next, j) {
    const lines = [];
    if (activation) {
      const back = activation.out.delta[j], own = linear.out.delta[j];
      if (next) {
        const outputs = next.parameters.weight.shape[1];
        const terms = next.out.delta.map((d, k) => `${text(next.parameters.weight.value[j * outputs + k])} × ${text(d)}`);
        lines.push(`∂L/∂a = Σ w·δ = ${signed(terms.slice(0, 10))}${terms.length > 10 ? " + …" : ""} = ${text(back)}`);
      } else lines.push(`∂L/∂a = ${text(back)}, from the loss`);
      const slope = back ? ` × ${text(own / back)}` : "";
      lines.push(`δ = ∂L/∂z = ∂L/∂a × ${activation.kind.toLowerCase()}′(z) = ${text(back)}${slope} = ${text(own)}`);
    } else lines.push(`δ = ∂L/∂z = ${text(linear.out.delta[j])}${next ? "" : ", from the loss"}`);
    return lines;
  }

  function drawNetwork(parts) {
    const counts = [parts[0].linear.in.value.length, ...parts.map((p) => p.linear.out.value.length)];
    const step = 190, gap = 62, height = Math.max(...counts) * gap + 30, width = (counts.length - 1) * step + 110;
    const at = (c, i) => [55 + c * step, height / 2 + (i - (counts[c] - 1) / 2) * gap];
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "the network" });
    const widest = Math.max(...parts.flatMap((p) => p.linear.parameters.weight.value.map(Math.abs))) || 1;
    const select = (node) => { svg.querySelectorAll(".on").forEach((n) => n.classList.remove("on")); node.classList.add("on"); };
    parts.forEach(({ linear, activation }, c) => {
      const next = parts[c + 1]?.linear, outputs = counts[c + 1];
      for (let i = 0; i < counts[c]; i++) for (let j = 0; j < outputs; j++) {
        const n = i * outputs + j, w = linear.parameters.weight.value[n], g = linear.parameters.weight.gradient[n];
        const [[x1, y1], [x2, y2]] = [at(c, i), at(c + 1, j)];
        const edge = make("line", { x1, y1, x2, y2, class: "edge", stroke: w < 0 ? "var(--second)" : "var(--first)",
          "stroke-opacity": 0.75, "stroke-width": 0.6 + 3.4 * Math.abs(w) / widest });
        const hit = make("line", { x1, y1, x2, y2, class: "hit", tabindex: 0 });
        const tell = () => { select(edge);
          say(`weight from unit ${i + 1} to unit ${j + 1} of ${linear.path}: w = ${text(w)}`, [
            ...deltaLines(linear, activation, next, j),
            `∂L/∂w = ∂L/∂z × ∂z/∂w = δ × a = ${text(linear.out.delta[j])} × ${text(linear.in.value[i])} = ${text(g)}`]); };
        hit.addEventListener("pointerenter", tell); hit.addEventListener("focus", tell);
        svg.append(edge, hit);
      }
    });
    counts.forEach((count, c) => { for (let i = 0; i < count; i++) {
      const [x, y] = at(c, i), part = parts[c - 1];
      const value = part ? given(part).value[i] : parts[0].linear.in.value[i];
      const circle = make("circle", { cx: x, cy: y, r: 24, tabindex: 0 });
      const tell = () => { select(circle); if (!part) return say(`input ${i + 1}: ${text(value)}`, []);
        const { linear, activation } = part;
        say(`unit ${i + 1} of ${linear.path}`, [sumLine(linear, i),
          ...(activation ? [`a = ${activation.kind.toLowerCase()}(z) = ${text(activation.out.value[i])}`] : []),
          ...deltaLines(linear, activation, parts[c]?.linear, i),
          ...(linear.parameters.bias ? [`∂L/∂b = δ = ${text(linear.parameters.bias.gradient[i])}`] : [])]); };
      circle.addEventListener("pointerenter", tell); circle.addEventListener("focus", tell);
      svg.append(circle, make("text", { x, y: y + 1 }, text(+value.toPrecision(3))));
      if (part) svg.append(make("text", { x, y: y + 14, class: "small" }, `δ ${text(+part.linear.out.delta[i].toPrecision(2))}`));
    } });
    document.getElementById("network").append(svg);
  }

  // ------------------------------------------------------------ layers of maps and of units

  const colour = (v, most) => { const s = Math.min(Math.abs(v) / (most || 1), 1);
    return v < 0 ? [176, 74, 0, 255 * s] : [11, 98, 196, 255 * s]; };
  const most = (values) => values.reduce((m, v) => Math.max(m, Math.abs(v)), 0);

  function map(layer, side, channel) {
    const [h, w, channels] = side.shape;
    const top = most(side.value), canvas = make("canvas", { width: w, height: h, tabindex: 0 });
    const context = canvas.getContext("2d"), image = context.createImageData(w, h);
    for (let n = 0; n < h * w; n++) image.data.set(colour(side.value[n * channels + channel], top), 4 * n);
    context.putImageData(image, 0, 0);
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const row = Math.min(h - 1, Math.floor((event.clientY - box.top) / box.height * h));
      const column = Math.min(w - 1, Math.floor((event.clientX - box.left) / box.width * w));
      patch(layer, row, column, channel);
    });
    canvas.addEventListener("focus", () => patch(layer, 0, 0, channel));
    return make("figure", {}, canvas, `map ${channel + 1}`);
  }

  // How one output came about: the patch, the kernel, and their sum, for each channel that goes in.
  function patch(layer, row, column, channel) {
    const [, w, channels] = layer.out.shape, n = (row * w + column) * channels + channel;
    const head = `row ${row + 1}, column ${column + 1} of map ${channel + 1} of ${layer.path}: ${text(layer.out.value[n])}`;
    const delta = `δ = ∂L/∂output = ${text(layer.out.delta[n])}`;
    if (!layer.window) {
      const source = layer.in.shape.length === 3 && String(layer.in.shape) === String(layer.out.shape)
        ? [`from ${text(layer.in.value[n])}`] : [];
      return say(head, [...source, delta]);
    }
    const { kernel: [kh, kw], stride, before, dilation, groups } = layer.window;
    const [ih, iw, ic] = layer.in.shape, weight = layer.parameters.weight;
    const perGroup = weight ? weight.shape[2] : 1;
    const first = weight ? Math.floor(channel / (channels / groups[0])) * perGroup : channel;
    const grids = make("div", { class: "grids" });
    let total = 0;
    for (let k = 0; k < perGroup; k++) {
      const seen = [], taps = [];
      for (let y = 0; y < kh; y++) { seen.push([]); taps.push([]); for (let x = 0; x < kw; x++) {
        const r = row * stride[0] + y * dilation[0] - before[0], c = column * stride[1] + x * dilation[1] - before[1];
        const value = r < 0 || c < 0 || r >= ih || c >= iw ? 0 : layer.in.value[(r * iw + c) * ic + first + k];
        const tap = weight ? weight.value[((y * kw + x) * perGroup + k) * channels + channel] : null;
        seen[y].push(value); taps[y].push(tap); if (weight) total += value * tap;
      } }
      if (k < 6) grids.append(make("span", {}, perGroup > 1 ? `in ${first + k + 1}` : "patch"), grid(seen));
      if (k < 6 && weight) grids.append("×", grid(taps));
    }
    const bias = layer.parameters.bias ? layer.parameters.bias.value[channel] : 0;
    say(head, weight
      ? [`sum of ${kh * kw * perGroup} products ${text(total)} + bias ${text(bias)} = ${text(total + bias)}`, delta]
      : [`${layer.kind} of the patch = ${text(layer.out.value[n])}`, delta]);
    detail.append(grids);
  }
  const grid = (rows) => make("table", { class: "grid" },
    ...rows.map((row) => make("tr", {}, ...row.map((v) => make("td", {}, text(+v.toPrecision(3)))))));

  function units(layer) {
    const top = most(layer.out.value), box = make("div", { class: "units" });
    layer.out.value.forEach((value, j) => {
      const [r, g, b, a] = colour(value, top);
      const button = make("button", { style: `background: rgba(${r},${g},${b},${a / 255 * 0.9 + 0.08})`,
        "aria-label": `unit ${j + 1}: ${text(value)}` });
      const tell = () => say(`unit ${j + 1} of ${layer.path}: ${text(value)}`, [
        ...(layer.kind === "Linear" ? [sumLine(layer, j)] : layer.in.value.length === layer.out.value.length
          ? [`from ${text(layer.in.value[j])}`] : []),
        `δ = ∂L/∂output = ${text(layer.out.delta[j])}`]);
      button.addEventListener("pointerenter", tell); button.addEventListener("focus", tell);
      box.append(button);
    });
    return box;
  }

  function drawLayers() {
    const target = document.getElementById("layers");
    for (const layer of layers) {
      const head = `${layer.path} (${layer.kind}): ${layer.in.shape.join(" × ") || 1} → ${layer.out.shape.join(" × ") || 1}`;
      const drawn = layer.out.shape.length === 3
        ? make("div", { class: "maps" }, ...Array.from({ length: Math.min(layer.out.shape[2], 32) }, (_, c) => map(layer, layer.out, c)))
        : size(layer.out.shape) <= 2048 ? units(layer) : make("p", {}, `${size(layer.out.shape)} numbers`);
      const lines = Object.entries(layer.parameters).map(([name, p]) => make("p", { class: "note" },
        `${name} ${p.shape.join(" × ")}: largest ${text(most(p.value))}, largest gradient ${text(most(p.gradient))}`));
      target.append(make("section", {}, make("h3", {}, head), drawn, ...lines));
    }
  }

  const parts = columns();
  const drawable = parts && parts.length <= 6 && Math.max(parts[0].linear.in.value.length,
    ...parts.map((p) => p.linear.out.value.length)) <= 12;
  if (drawable) drawNetwork(parts); else drawLayers();
  say(drawable ? "Point at a unit or a weight" : "Point at a unit or at a place in a map", [
    "Every number is shown as the sum or the product that it came from."]);
})();
