// A kernel slides over a small picture.

const SIDE = 7;

// The kernel as it is laid down, and the output: the same sums as conv2d() of foundations/convolution.py.
function compute({ picture, kernel, divisor, stride, padding, dilation, flip }) {
  const laid = flip ? [...kernel].reverse() : kernel;
  const side = Math.floor((SIDE + 2 * padding - dilation * 2 - 1) / stride) + 1;
  const pixel = (row, column) => picture[row - padding]?.[column - padding] ?? 0;
  const seen = (row, column) =>
    laid.map((_, e) => pixel(row * stride + Math.floor(e / 3) * dilation, column * stride + (e % 3) * dilation));
  const total = (row, column) => seen(row, column).reduce((sum, value, e) => sum + value * laid[e], 0);
  const range = Array.from({ length: side }, (_, i) => i);
  const output = range.map((row) => range.map((column) => total(row, column) / divisor));
  return { laid, side, pixel, seen, total, output };
}

function readoutOf(chosen, { laid, side, seen, total }) {
  const { row, column, divisor, stride, padding, dilation } = chosen;
  const said = {
    where: `row ${row}, column ${column}`,
    sum: `sum: ${number(total(row, column))}` +
      (divisor === 1 ? "" : `, divided by ${number(divisor)}: ${number(total(row, column) / divisor)}`),
    size: `\u230a(7 + 2\u00b7${padding} \u2212 ${dilation}\u00b7(3 \u2212 1) \u2212 1) / ${stride}\u230b + 1 = ${side}`,
  };
  seen(row, column).forEach((value, e) => {
    said[`p${e}`] = `${number(value)} \u00b7 ${number(laid[e])} = ${number(value * laid[e])}`;
  });
  return said;
}

enliven("convolution", (root, state) => {
  const find = (selector) => root.querySelector(selector);
  const role = (name) => find(`[data-role="${name}"]`);
  const entries = [...root.querySelectorAll("[data-entry]")];
  const say = announcer(root);
  const cell = state.cell;

  // What isn't a number yet, while somebody types, counts as 0.
  const read = (field, empty) => (Number.isFinite(field.valueAsNumber) ? field.valueAsNumber : empty);

  function choose() {
    const chosen = {
      picture: state.pictures[role("picture").value], kernel: entries.map((field) => read(field, 0)),
      divisor: read(role("divisor"), 1) || 1, flip: role("flip").checked,
    };
    for (const name of ["stride", "padding", "dilation"]) chosen[name] = Number(role(name).value);
    const { side } = compute(chosen);
    for (const name of ["row", "column"]) {
      role(name).max = side - 1;
      chosen[name] = Math.min(role(name).valueAsNumber, side - 1);
    }
    return chosen;
  }

  function draw(name, width, height, label) {
    const svg = role(name);
    svg.replaceChildren();
    setAttributes(svg, { viewBox: `0 0 ${width * cell} ${height * cell}`, "aria-label": label });
    return (tag, attributes, content) => {
      const node = document.createElementNS(svg.namespaceURI, tag);
      setAttributes(node, attributes);
      if (content !== undefined) node.textContent = content;
      svg.append(node);
    };
  }

  const whole = (row, column) => ({ x: column * cell, y: row * cell, width: cell, height: cell });
  const inner = (row, column) => ({ x: column * cell + 1.5, y: row * cell + 1.5, width: cell - 3, height: cell - 3 });

  function drawPicture({ picture, row, column, stride, padding, dilation }, { laid, pixel }, said) {
    const side = SIDE + 2 * padding;
    const add = draw("picture-drawing", side, side, `The picture, 7 \u00d7 7, padding ${padding}, with the kernel at ${said.where}`);
    for (let r = 0; r < side; r++) {
      for (let c = 0; c < side; c++) {
        const [i, j] = [(r - row * stride) / dilation, (c - column * stride) / dilation];
        const under = [0, 1, 2].includes(i) && [0, 1, 2].includes(j);
        const inside = picture[r - padding]?.[c - padding] !== undefined;
        add("rect", { class: "yv-shade", ...whole(r, c), "fill-opacity": (0.035 * pixel(r, c)).toFixed(3) });
        add("rect", { class: `yv-cell${inside ? "" : " yv-pad"}${under ? " yv-under" : ""}`, ...inner(r, c) });
        add("text", { class: "yv-value", x: (c + 0.5) * cell, y: (r + 0.5) * cell + (under ? 0 : 5) }, pixel(r, c));
        if (!under) continue;
        add("text", { class: "yv-entry", x: (c + 1) * cell - 4, y: (r + 1) * cell - 5 }, `\u00d7${number(laid[3 * i + j])}`);
      }
    }
  }

  function drawOutput({ row, column, padding }, { side, output }) {
    // As wide as the picture, so that both have cells of one size.
    const add = draw("output-drawing", SIDE + 2 * padding, side, `The output, ${side} \u00d7 ${side}`);
    const largest = Math.max(...output.flat().map(Math.abs)) || 1;
    output.forEach((line, r) => line.forEach((value, c) => {
      const written = number(value, 1);
      add("rect", { class: value >= 0 ? "yv-plus" : "yv-minus", ...whole(r, c), "fill-opacity": (0.35 * Math.abs(value) / largest).toFixed(3) });
      add("rect", { class: `yv-cell${r === row && c === column ? " yv-here" : ""}`, ...inner(r, c), "data-at": `${r} ${c}` });
      add("text", { class: `yv-value${written.length > 4 ? " yv-long" : ""}`, x: (c + 0.5) * cell, y: (r + 0.5) * cell + 5 }, written);
    }));
  }

  function update() {
    const chosen = choose();
    const result = compute(chosen);
    const said = readoutOf(chosen, result);
    drawPicture(chosen, result, said);
    drawOutput(chosen, result);
    for (const place of root.querySelectorAll("[data-out]")) place.textContent = said[place.dataset.out];
    for (const button of root.querySelectorAll("[data-kernel]")) {
      const [kernel, divisor] = state.kernels[button.dataset.kernel];
      const same = divisor === chosen.divisor && kernel.every((entry, e) => entry === chosen.kernel[e]);
      button.setAttribute("aria-pressed", String(same));
    }
    say(`${said.where}: ${said.sum}. The output has ${result.side} rows and columns.`);
  }

  function step() {
    const { row, column, ...chosen } = choose();
    const { side } = compute(chosen);
    const next = (row * side + column + 1) % (side * side);
    role("row").value = Math.floor(next / side);
    role("column").value = next % side;
  }

  root.addEventListener("input", update);
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const place = event.target.closest("[data-at]");
    if (button?.dataset.kernel) {
      const [kernel, divisor] = state.kernels[button.dataset.kernel];
      entries.forEach((field, e) => { field.value = kernel[e]; });
      role("divisor").value = divisor;
    } else if (button?.dataset.step) {
      step();
    } else if (place) {
      [role("row").value, role("column").value] = place.dataset.at.split(" ");
    } else {
      return;
    }
    update();
  });
  update();
});
