// A transposed convolution, one output entry after the other; the twin of upsampling_figure.py.

const COUNT = (length, make) => Array.from({ length }, (_, i) => make(i));

function walkOf(state) {
  const { image, stride, padding, extra } = state;
  const kernel = state.kernels[state.kernel];
  const [i, k] = [image.length, kernel.length];
  const turned = kernel.map((row) => [...row].reverse()).reverse();
  const side = (i - 1) * stride + k - 2 * padding + extra;
  const around = k - padding - 1;
  const place = (u) => around + u * stride;
  const width = place(i - 1) + 1 + around + extra;

  // Which entries of the input a window that begins at `first` sees, along one direction, and with which tap.
  const seen = (first) =>
    COUNT(i, (u) => [u, place(u) - first]).filter(([, tap]) => tap >= 0 && tap < k);
  const terms = (row, column) =>
    seen(row).flatMap(([u, r]) => seen(column).map(([v, q]) => [image[u][v], turned[r][q]]));
  const output = COUNT(side, (row) =>
    COUNT(side, (column) => terms(row, column).reduce((sum, [x, w]) => sum + x * w, 0)),
  );
  const taps = COUNT(side, (row) => COUNT(side, (column) => seen(row).length * seen(column).length));
  return { image, kernel, turned, stride, padding, extra, i, k, side, around, place, width, terms, output, taps };
}

function readout(walk, step) {
  const { i, k, stride: s, padding: p, extra: a, side, around, width } = walk;
  const [row, column] = [Math.floor(step / side), step % side];
  const factor = (value) => (value < 0 ? `(${number(value)})` : number(value));
  const terms = walk.terms(row, column).map(([x, w]) => `${factor(x)} · ${factor(w)}`).join(" + ");
  const counts = [...new Set(walk.taps.flat())].sort((one, other) => one - other);
  return {
    formula: `o = (i − 1) s + k − 2 p + a = (${i} − 1) · ${s} + ${k} − 2 · ${p} + ${a} = ${side}`,
    zeros: `z = s − 1 = ${s - 1} between neighbors, p′ = k − p − 1 = ${around} around: ${width} × ${width}`,
    sum: `Row ${row}, column ${column}: ${terms || "nothing but zeros"} = ${number(walk.output[row][column])}`,
    spread: `The input with its zeros, ${width} × ${width}`,
    output: `The output, ${side} × ${side}`,
    kernel: "The kernel, turned",
    taps: `Taps that reach each output: ${counts.join(", ")}`,
    nearest: `Nearest neighbor, m = ${s}: ${s * i} × ${s * i}`,
  };
}

// The text and the class of each cell of a panel.
function cellsOf(walk, name, step) {
  const { image, stride, i, side, width, place } = walk;
  if (name === "spread") {
    const inside = (at) => at >= place(0) && at <= place(i - 1);
    const rows = COUNT(width, (row) =>
      COUNT(width, (column) => ["0", inside(row) && inside(column) ? "yv-zero" : "yv-pad"]),
    );
    image.forEach((line, u) => line.forEach((x, v) => { rows[place(u)][place(v)] = [number(x), "yv-input"]; }));
    return rows;
  }
  if (name === "kernel") return walk.turned.map((row) => row.map((w) => [number(w), "yv-window-cell"]));
  if (name === "nearest") {
    const entry = (j) => Math.floor(j / stride);
    return COUNT(i * stride, (row) =>
      COUNT(i * stride, (column) => [number(image[entry(row)][entry(column)]), "yv-input"]),
    );
  }
  if (name === "taps") return walk.taps.map((row) => row.map((n) => [String(n), `yv-taps-${Math.min(n, 9)}`]));
  return walk.output.map((line, row) =>
    line.map((y, column) => {
      const order = row * side + column;
      if (order > step) return ["", "yv-open"];
      return [number(y), order === step ? "yv-now" : "yv-done"];
    }),
  );
}

// The markup of a panel; only numbers and names of our own go into it.
function gridOf(cells, size, corner) {
  const parts = [];
  cells.forEach((line, row) =>
    line.forEach(([written, kind], column) => {
      const [x, y] = [column * size, row * size];
      parts.push(`<rect class="${kind}" x="${x}" y="${y}" width="${size}" height="${size}"></rect>`);
      if (!written) return;
      const name = written.length > 2 ? `${kind} yv-long` : kind;
      parts.push(`<text class="${name}" x="${x + size / 2}" y="${y + size / 2 + 5}">${written}</text>`);
    }),
  );
  if (corner) {
    const [row, column, k] = corner.map((value) => value * size);
    parts.push(`<rect class="yv-window" x="${column}" y="${row}" width="${k}" height="${k}"></rect>`);
  }
  return parts.join("");
}

enliven("upsampling", (root, state) => {
  const now = { ...state };
  const find = (selector) => root.querySelector(selector);
  const [slider, output] = [find("input[type=range]"), find("output")];
  const select = (name) => find(`[data-set=${name}]`);
  const say = announcer(root);
  let walk = walkOf(now);

  // What may be chosen depends on what is chosen: padding on the kernel, output padding on the stride.
  function refill(name, count) {
    const field = select(name);
    now[name] = Math.min(now[name], count - 1);
    field.replaceChildren(...COUNT(count, (value) => new Option(value, value, false, value === now[name])));
  }

  function draw(name) {
    const svg = find(`[data-panel=${name}]`);
    const cells = cellsOf(walk, name, now.step);
    const corner = [Math.floor(now.step / walk.side), now.step % walk.side, walk.k];
    svg.innerHTML = gridOf(cells, state.cell, name === "spread" ? corner : null);
    const side = cells.length * state.cell + 4;
    svg.setAttribute("viewBox", `-2 -2 ${side} ${side}`);
    return svg;
  }

  function show(panels = ["spread", "output"]) {
    const last = walk.side * walk.side;
    const said = readout(walk, now.step);
    for (const place of root.querySelectorAll("[data-out]")) place.textContent = said[place.dataset.out];
    for (const name of panels) draw(name).setAttribute("aria-label", said[name]);
    setAttributes(slider, { max: last, "aria-valuetext": said.sum });
    slider.value = now.step + 1;
    output.textContent = `${now.step + 1} / ${last}`;
    // A disabled button would lose the focus that walks through the steps.
    find("[data-go='-1']").setAttribute("aria-disabled", now.step === 0);
    for (const button of root.querySelectorAll("[data-go]:not([data-go='-1'])")) {
      button.setAttribute("aria-disabled", now.step === last - 1);
    }
    return said;
  }

  function go(step) {
    now.step = Math.max(0, Math.min(step, walk.side * walk.side - 1));
    say(show().sum);
  }

  root.addEventListener("change", (event) => {
    const { set } = event.target.dataset;
    if (!set) return;
    now[set] = set === "kernel" ? event.target.value : Number(event.target.value);
    refill("padding", Math.min(3, now.kernels[now.kernel].length));
    refill("extra", now.stride);
    walk = walkOf(now);
    now.step = Math.min(walk.side + 1, walk.side * walk.side - 1);
    say(show(["spread", "output", "kernel", "taps", "nearest"]).formula);
  });
  slider.addEventListener("input", () => go(slider.valueAsNumber - 1));
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-go]");
    if (button) go(now.step + Number(button.dataset.go));
  });
  show();
});
