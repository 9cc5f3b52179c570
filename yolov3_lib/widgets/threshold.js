// One threshold: the boxes of a photograph, and a point on a precision-recall curve.

enliven("threshold", (root, state) => {
  const { boxes, scores, classes, names, colors, size, curves, chart } = state;
  const [LEFT, BOTTOM, WIDTH, HEIGHT] = chart;
  const find = (selector) => root.querySelector(selector);
  const slider = find("input[type=range]");
  const choice = find("select");
  const layer = find(".yv-found");
  const dot = find(".yv-dot");
  const say = announcer(root);
  const unit = Math.max(...size) / 100;

  const ratio = (part, whole) => (whole ? fixed(part / whole) : "\u2013");

  function place({ right, wrong, truths }, step) {
    const count = right[step] + wrong[step];
    if (!count || !truths) return null;
    return [LEFT + (WIDTH * right[step]) / truths, BOTTOM - (HEIGHT * right[step]) / count];
  }

  function make(tag, attributes, parent) {
    const node = document.createElementNS(root.querySelector("svg").namespaceURI, tag);
    setAttributes(node, attributes);
    parent.append(node);
    return node;
  }

  function paintBoxes(threshold) {
    const shown = scores.map((_, i) => i).filter((i) => scores[i] > threshold);
    // The best last, so that they lie on top.
    shown.sort((i, j) => scores[i] - scores[j] || j - i);
    // A name isn't written where a better one's stands.
    const named = [];
    for (const i of [...shown].reverse()) {
      const apart = (j) => [0, 1].some((k) => Math.abs(boxes[i][k] - boxes[j][k]) >= [22, 4][k] * unit);
      if (named.every(apart)) named.push(i);
    }
    layer.replaceChildren();
    for (const i of shown) {
      const [x1, y1, x2, y2] = boxes[i];
      const group = make("g", {}, layer);
      group.style.setProperty("--c", colors[classes[i]]);
      for (let k = 0; k < 2; k += 1) make("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1 }, group);
      if (!named.includes(i)) continue;
      const words = make("text", { x: x1 + unit, y: y1 + 4 * unit }, group);
      words.textContent = `${names[classes[i]]} ${fixed(scores[i], 2)}`;
    }
    return shown.length;
  }

  function paintCurve(points) {
    const places = points.right.map((_, step) => place(points, step)).filter(Boolean);
    const d = places.map(([x, y]) => `${Number(x.toFixed(2))} ${Number(y.toFixed(2))}`).join("L");
    find(".yv-curve").setAttribute("d", d && `M${d}`);
  }

  function update() {
    const threshold = Number(slider.value);
    const step = Math.round(100 * threshold);
    const points = curves[choice.value];
    const [right, wrong] = [points.right[step], points.wrong[step]];
    const said = {
      threshold: fixed(threshold, 2),
      shown: paintBoxes(threshold),
      precision: ratio(right, right + wrong),
      recall: ratio(right, points.truths),
      f1: ratio(2 * right, right + wrong + points.truths),
      right,
      wrong,
      missed: points.truths - right,
    };
    for (const node of root.querySelectorAll("[data-out]")) node.textContent = said[node.dataset.out];
    find("output").textContent = said.threshold;
    paintCurve(points);
    const here = place(points, step);
    const [x, y] = here ?? [LEFT, BOTTOM];
    dot.toggleAttribute("data-none", !here);
    setAttributes(dot, { cx: x.toFixed(2), cy: y.toFixed(2) });
    find(".yv-cross").setAttribute("d", `M${x.toFixed(2)} ${BOTTOM}V${y.toFixed(2)}H${LEFT}`);
  }

  root.addEventListener("input", () => {
    update();
    say(find(".yv-outcome").textContent);
  });
  update();
});
