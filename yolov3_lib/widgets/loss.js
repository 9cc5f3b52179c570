// One object and one prediction: drag them, walk them with the arrow keys; the twin of loss_scene.py.

const OWN = -1;
const IGNORE_THRESHOLD = 0.5;
const EDGE = 0.01;
const TERMS = ["x", "y", "w", "h", "o"];
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function shapeIou([w, h], [v, g]) {
  const shared = Math.min(w, v) * Math.min(h, g);
  return shared / (w * h + v * g - shared);
}

function boxIou(a, b) {
  const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  const w = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0);
  const h = Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  return (w * h) / (area(a) + area(b) - w * h);
}

// Everything the figure shows about two boxes, an anchor and an objectness.
function measure({ truth, prediction, anchor, objectness }, { anchors, strides, side }) {
  const overlaps = anchors.map((shape) => shapeIou([truth[2] - truth[0], truth[3] - truth[1]], shape));
  const answering = overlaps.indexOf(Math.max(...overlaps));
  const used = anchor === OWN ? answering : anchor;
  const stride = strides[Math.floor(used / 3)];
  const last = side / stride - 1;
  const cell = (box) => [0, 1].map((i) => Math.min(Math.floor((box[i] + box[i + 2]) / 2 / stride), last));
  const cells = { truth: cell(truth), prediction: cell(prediction) };
  const overlap = boxIou(prediction, truth);

  const same = cells.truth.every((value, i) => value === cells.prediction[i]);
  const state = used === answering && same ? "positive" : overlap > IGNORE_THRESHOLD ? "ignored" : "background";
  const numbers = (box, at) => [
    ...[0, 1].map((i) => (box[i] + box[i + 2]) / 2 / stride - at[i]),
    ...[0, 1].map((i) => Math.log((box[i + 2] - box[i]) / anchors[used][i])),
  ];
  const goals = [...numbers(truth, cells.truth), state === "positive" ? 1 : 0];
  const says = [...numbers(prediction, cells.prediction), objectness];
  for (const i of [0, 1]) says[i] = clamp(says[i], EDGE, 1 - EDGE);

  const weight = 2 - ((truth[2] - truth[0]) * (truth[3] - truth[1])) / side ** 2;
  const entropy = (i) => -goals[i] * Math.log(says[i]) - (1 - goals[i]) * Math.log(1 - says[i]);
  const square = (i) => (says[i] - goals[i]) ** 2 / 2;
  const box = state === "positive" ? weight : 0;
  const object = state === "ignored" ? 0 : 1;
  const costs = [box * entropy(0), box * entropy(1), box * square(2), box * square(3), object * entropy(4)];
  // The same difference for all five, whatever the term: that is the point of the chapter.
  const slopes = says.map((said, i) => (i < 4 ? box : object) * (said - goals[i]));
  return { overlaps, answering, used, stride, cells, overlap, state, goals, says, weight, costs, slopes };
}

function readout(m, { anchors, side }) {
  const [best, used] = [anchors[m.answering], anchors[m.used]];
  const cells = side / m.stride;
  const states = {
    positive: "positive: it answers for the object",
    ignored: `ignored: IoU ${fixed(m.overlap, 2)} > ${number(IGNORE_THRESHOLD)}`,
    background: "background: asked to say \u201cnothing here\u201d",
  };
  const said = {
    state: states[m.state],
    overlap: fixed(m.overlap, 2),
    best: `${best[0]} \u00d7 ${best[1]}, shape IoU ${fixed(Math.max(...m.overlaps), 2)}`,
    used: `${used[0]} \u00d7 ${used[1]}, ${cells} \u00d7 ${cells} cells`,
    weight: fixed(m.weight, 2),
    total: fixed(m.costs.reduce((sum, cost) => sum + cost, 0)),
  };
  TERMS.forEach((name, i) => {
    const asked = m.state === "positive" || (name === "o" && m.state === "background");
    said[`${name}-terms`] = asked ? `${fixed(m.says[i], 2)} \u2192 ${fixed(m.goals[i], 2)}` : "not asked";
    said[`${name}-cost`] = fixed(m.costs[i]);
    said[`${name}-slope`] = fixed(m.slopes[i]);
  });
  return said;
}

enliven("loss", (root, state) => {
  const find = (selector) => root.querySelector(selector);
  const svg = find("svg");
  const [select, slider] = [find("select"), find("input[type=range]")];
  const { side, step, smallest, anchors } = state;
  const now = {
    truth: [...state.truth], prediction: [...state.prediction], anchor: OWN, objectness: state.objectness,
  };
  const say = announcer(root);
  const frame = ([x1, y1, x2, y2]) => ({ x: x1, y: y1, width: x2 - x1, height: y2 - y1 });
  const middle = (box) => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];

  function paintBox(name) {
    const box = now[name];
    const group = find(`g[data-box=${name}]`);
    const [cx, cy] = middle(box);
    for (const part of group.querySelectorAll(".yv-body, .yv-ring")) setAttributes(part, frame(box));
    setAttributes(group.querySelector(".yv-center"), { cx, cy });
    setAttributes(group.querySelector(".yv-knob"), { x: box[2] - 5, y: box[3] - 5 });
    setAttributes(group.querySelector(".yv-reach"), { cx: box[2], cy: box[3] });
    const y = name === "prediction" ? box[3] - 6 : box[1] > 20 ? box[1] - 5 : box[1] + 16;
    setAttributes(group.querySelector(".yv-name"), { x: box[0] + 4, y });
    group.setAttribute("aria-label", `${name === "truth" ? "Object" : "Prediction"} (${box.join(", ")})`);
  }

  function update() {
    const m = measure(now, state);
    const said = readout(m, state);
    let lines = "";
    for (let at = 0; at <= side; at += m.stride) lines += `M${at} 0V${side}M0 ${at}H${side}`;
    find(".yv-grid").setAttribute("d", lines);
    for (const name of ["truth", "prediction"]) {
      paintBox(name);
      const [x, y] = m.cells[name].map((value) => value * m.stride);
      setAttributes(find(`.yv-cell[data-box=${name}]`), { x, y, width: m.stride, height: m.stride });
    }
    const [w, h] = anchors[m.answering];
    const [cx, cy] = middle(now.truth);
    setAttributes(find(".yv-anchor"), { x: cx - w / 2, y: cy - h / 2, width: w, height: h });
    find(".yv-state").dataset.stateName = m.state;
    for (const output of root.querySelectorAll("[data-out]")) output.textContent = said[output.dataset.out];
    TERMS.forEach((name, i) => {
      for (const [kind, value] of [["cost", m.costs[i]], ["slope", m.slopes[i]]]) {
        find(`[data-meter=${name}-${kind}]`).style.setProperty("--v", clamp(value / 2, -1, 1).toFixed(4));
      }
    });
    select.value = now.anchor;
    slider.value = Math.round(now.objectness * 100);
    find("output").textContent = now.objectness.toFixed(2);
    say(`IoU ${said.overlap}, ${said.state}. Loss ${said.total}.`);
  }

  // Moving keeps the size, resizing the upper left corner; nothing leaves the input.
  function move(name, x, y) {
    const [x1, y1, x2, y2] = now[name];
    const [left, top] = [clamp(x, 0, side - (x2 - x1)), clamp(y, 0, side - (y2 - y1))];
    now[name] = [left, top, left + x2 - x1, top + y2 - y1];
    update();
  }
  function resize(name, x, y) {
    const [x1, y1] = now[name];
    now[name] = [x1, y1, clamp(x, x1 + smallest, side), clamp(y, y1 + smallest, side)];
    update();
  }

  function point(event) {
    const inverse = svg.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(inverse);
    return [x, y];
  }

  let held = null;
  svg.addEventListener("pointerdown", (event) => {
    const group = event.target.closest("g[data-box]");
    if (!group || event.button !== 0) return;
    const name = group.dataset.box;
    const corner = event.target.classList.contains("yv-reach");
    const [x, y] = point(event);
    const [x1, y1, x2, y2] = now[name];
    held = { name, corner, pointer: event.pointerId, dx: x - (corner ? x2 : x1), dy: y - (corner ? y2 : y1) };
    svg.setPointerCapture(event.pointerId);
    group.focus({ preventScroll: true });
    event.preventDefault();
  });
  svg.addEventListener("touchstart", (event) => {
    if (held) event.preventDefault();
  }, { passive: false });
  svg.addEventListener("pointermove", (event) => {
    if (!held || event.pointerId !== held.pointer) return;
    const [x, y] = point(event);
    const snap = (value) => Math.round(value / step) * step;
    (held.corner ? resize : move)(held.name, snap(x - held.dx), snap(y - held.dy));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, (event) => {
      if (held && event.pointerId === held.pointer) held = null;
    });
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  for (const group of root.querySelectorAll("g[data-box]")) {
    setAttributes(group, { tabindex: 0, role: "application", "aria-roledescription": "movable box" });
    group.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const name = group.dataset.box;
      const [dx, dy] = arrow.map((direction) => direction * step);
      const [x1, y1, x2, y2] = now[name];
      if (event.shiftKey) resize(name, x2 + dx, y2 + dy);
      else move(name, x1 + dx, y1 + dy);
    });
  }

  select.addEventListener("change", () => {
    now.anchor = Number(select.value);
    update();
  });
  slider.addEventListener("input", () => {
    now.objectness = Number(slider.value) / 100;
    update();
  });
  root.addEventListener("click", (event) => {
    const preset = event.target.closest("button[data-case]");
    if (!preset) return;
    const [truth, prediction, anchor] = state.cases[preset.dataset.case];
    Object.assign(now, { truth: [...truth], prediction: [...prediction], anchor });
    update();
  });

  svg.setAttribute("role", "group");
  update();
});
