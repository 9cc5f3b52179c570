// Two boxes: drag them, walk them with the arrow keys, or type their corners.

const CORNERS = [["x2", "y2"], ["x1", "y1"], ["x2", "y1"], ["x1", "y2"]];
const EDGES = ["x1", "y1", "x2", "y2"];
const REACH = 30;
const ROOM = 56;

const asBox = ([x1, y1, x2, y2]) => ({ x1, y1, x2, y2 });
const width = (box) => box.x2 - box.x1;
const height = (box) => box.y2 - box.y1;
const area = (box) => width(box) * height(box);
const ratio = (part, whole) => (whole === 0 ? 0 : part / whole);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// The same formulas, in the same order, as yolov3_lib.boxes.
function measure(a, b) {
  const w = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const h = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  const shared = Math.max(w, 0) * Math.max(h, 0);
  const union = area(a) + area(b) - shared;
  const iou = ratio(shared, union);

  const enclosing = {
    x1: Math.min(a.x1, b.x1), y1: Math.min(a.y1, b.y1), x2: Math.max(a.x2, b.x2), y2: Math.max(a.y2, b.y2),
  };
  const outer = area(enclosing);
  const giou = iou - ratio(outer - union, outer);

  const diagonal = width(enclosing) ** 2 + height(enclosing) ** 2;
  const distance = ((a.x1 + a.x2 - b.x1 - b.x2) / 2) ** 2 + ((a.y1 + a.y2 - b.y1 - b.y2) / 2) ** 2;
  const diou = iou - ratio(distance, diagonal);

  const v = (4 / Math.PI ** 2) * (Math.atan2(width(b), height(b)) - Math.atan2(width(a), height(a))) ** 2;
  const shape = ratio(v, 1 - iou + v) * v;
  return { w, h, shared, union, iou, enclosing, outer, giou, distance, diagonal, diou, shape, ciou: diou - shape };
}

function signed(value) {
  return value < 0 ? `(${number(value)})` : number(value);
}

// What the panel says: the twin of readout() in iou_figure.py.
function readout(a, b, m) {
  const [areaA, areaB] = [area(a), area(b)];
  const sum = `${number(areaA)} + ${number(areaB)}`;
  const axis = (edge) =>
    `min(${number(a[edge + "2"])}, ${number(b[edge + "2"])}) ${MINUS} ` +
    `max(${number(a[edge + "1"])}, ${number(b[edge + "1"])})`;

  const product = m.w * m.h;
  const whole = areaA + areaB - product;
  let bug = fixed(product / whole);
  if (whole === 0) bug = product === 0 ? "0/0" : (product < 0 ? MINUS : "") + "\u221e";

  return {
    width: `${axis("x")} = ${number(m.w)}`,
    height: `${axis("y")} = ${number(m.h)}`,
    overlap: `${number(Math.max(m.w, 0))} \u00d7 ${number(Math.max(m.h, 0))} = ${number(m.shared)}`,
    union: `${sum} ${MINUS} ${number(m.shared)} = ${number(m.union)}`,
    "iou-terms": `${number(m.shared)} / ${number(m.union)}`,
    iou: fixed(m.iou),
    "bug-terms": `${signed(m.w)} \u00d7 ${signed(m.h)} = ${number(product)}\n` +
      `${number(product)} / (${sum} ${MINUS} ${signed(product)})`,
    bug,
    "giou-terms": `${fixed(m.iou)} ${MINUS} ${number(m.outer - m.union)} / ${number(m.outer)}`,
    giou: fixed(m.giou),
    "diou-terms": `${fixed(m.iou)} ${MINUS} ${number(m.distance)} / ${number(m.diagonal)}`,
    diou: fixed(m.diou),
    "ciou-terms": `${fixed(m.diou)} ${MINUS} ${fixed(m.shape)}`,
    ciou: fixed(m.ciou),
  };
}

enliven("iou", (root, state) => {
  const find = (selector) => root.querySelector(selector);
  const svg = find("svg");
  const { unit, left, top, step, size: [columns, rows] } = state;
  const boxes = { a: asBox(state.a), b: asBox(state.b) };
  const groups = { a: find("g[data-box=a]"), b: find("g[data-box=b]") };
  const toggle = find("input[type=checkbox]");
  const say = announcer(root);
  let last = "b";

  const X = (x) => left + unit * x;
  const Y = (y) => top + unit * y;
  const snap = (value) => Number((Math.round(value / step) * step).toFixed(6));
  const frame = (box) => ({ x: X(box.x1), y: Y(box.y1), width: unit * width(box), height: unit * height(box) });
  const middle = (box) => [X((box.x1 + box.x2) / 2), Y((box.y1 + box.y2) / 2)];
  const corners = (box) => EDGES.map((edge) => number(box[edge])).join(", ");

  function paintBox(name) {
    const box = boxes[name];
    const group = groups[name];
    for (const part of group.querySelectorAll(".yv-body, .yv-ring")) setAttributes(part, frame(box));
    CORNERS.forEach(([ex, ey], i) => {
      setAttributes(group.querySelectorAll(".yv-knob")[i], { x: X(box[ex]) - 5, y: Y(box[ey]) - 5 });
      setAttributes(group.querySelectorAll(".yv-reach")[i], { cx: X(box[ex]), cy: Y(box[ey]) });
    });
    const [cx, cy] = middle(box);
    setAttributes(group.querySelector(".yv-center"), { cx, cy });
    const atEnd = name === "b";
    setAttributes(group.querySelector(".yv-name"), {
      x: atEnd ? X(box.x2) - 20 : X(box.x1) + 7, y: atEnd ? Y(box.y2) - 8 : Y(box.y1) + 21,
    });
    group.setAttribute("aria-label", `Box ${name.toUpperCase()} (${corners(box)})`);
    for (const edge of EDGES) {
      const input = find(`input[data-box=${name}][data-edge=${edge}]`);
      if (input !== document.activeElement) {
        input.value = Number(box[edge].toFixed(2));
        input.removeAttribute("aria-invalid");
      }
    }
  }

  function paintBetween(m) {
    const { a, b } = boxes;
    const visible = (node, shown) => { node.style.display = shown ? "" : "none"; };
    const outer = frame(m.enclosing);
    setAttributes(find(".yv-enclosing"), {
      x: outer.x - 6, y: outer.y - 6, width: outer.width + 12, height: outer.height + 12,
    });
    const [[ax, ay], [bx, by]] = [middle(a), middle(b)];
    setAttributes(find(".yv-centers"), { x1: ax, y1: ay, x2: bx, y2: by });

    // Where the boxes are apart, the unclamped formula measures the gap between them.
    const apart = m.w < 0 || m.h < 0;
    const overlap = { x1: Math.max(a.x1, b.x1), y1: Math.max(a.y1, b.y1) };
    const part = {
      x1: Math.min(overlap.x1, overlap.x1 + m.w), y1: Math.min(overlap.y1, overlap.y1 + m.h),
      x2: Math.max(overlap.x1, overlap.x1 + m.w), y2: Math.max(overlap.y1, overlap.y1 + m.h),
    };
    setAttributes(find(".yv-overlap"), frame(part));
    setAttributes(find(".yv-ghost"), frame(part));
    visible(find(".yv-overlap"), m.shared > 0);
    visible(find(".yv-ghost"), apart && toggle.checked);

    const middleOfPart = middle(part);
    const x = middleOfPart[0];
    let y = middleOfPart[1];
    if (!apart && Math.min(m.w, m.h) * unit < ROOM) y = Y(part.y2) + (part.y2 < rows ? 14 : -ROOM);
    const dims = find(".yv-dims");
    setAttributes(dims, { x, y: y + 5 });
    dims.textContent = `${signed(m.w)} \u00d7 ${signed(m.h)}`;
    visible(dims, apart ? toggle.checked : m.shared > 0);
  }

  function paint() {
    const m = measure(boxes.a, boxes.b);
    const said = readout(boxes.a, boxes.b, m);
    paintBox("a");
    paintBox("b");
    paintBetween(m);
    for (const output of root.querySelectorAll("[data-out]")) output.textContent = said[output.dataset.out];
    for (const name of ["iou", "giou", "diou", "ciou"]) {
      find(`[data-scale=${name}]`).style.setProperty("--v", clamp(m[name], -1, 1).toFixed(4));
    }
    find(".yv-bug").toggleAttribute("data-off", !toggle.checked);
    return said;
  }

  function update() {
    const said = paint();
    say(
      `A ${corners(boxes.a)}. B ${corners(boxes.b)}. Overlap ${said.overlap}. IoU ${said.iou}` +
      (toggle.checked ? `, without the clamp ${said.bug}.` : "."),
    );
  }

  // Moving keeps the size, resizing keeps the opposite corner; nothing leaves the grid.
  function move(box, x1, y1) {
    const [w, h] = [width(box), height(box)];
    box.x1 = clamp(x1, 0, columns - w);
    box.y1 = clamp(y1, 0, rows - h);
    box.x2 = box.x1 + w;
    box.y2 = box.y1 + h;
  }

  function resize(box, ex, ey, x, y) {
    box[ex] = ex === "x1" ? clamp(x, 0, Math.max(0, box.x2 - step)) : clamp(x, Math.min(box.x1 + step, columns), columns);
    box[ey] = ey === "y1" ? clamp(y, 0, Math.max(0, box.y2 - step)) : clamp(y, Math.min(box.y1 + step, rows), rows);
  }

  function gridPoint(event) {
    const rect = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / rect.width;
    return [((event.clientX - rect.left) * scale - left) / unit, ((event.clientY - rect.top) * scale - top) / unit];
  }

  // What a pointer at (x, y) takes hold of: the nearest corner in reach, else the smallest box under it.
  function pick(x, y) {
    let best = null;
    for (const name of last === "a" ? ["a", "b"] : ["b", "a"]) {
      const box = boxes[name];
      const inside = x > box.x1 && x < box.x2 && y > box.y1 && y < box.y2;
      const reach = inside ? Math.min(REACH / unit, 0.3 * width(box), 0.3 * height(box)) : REACH / unit;
      for (const [ex, ey] of CORNERS) {
        const distance = Math.hypot(x - box[ex], y - box[ey]);
        if (distance <= reach && (!best || distance < best.distance)) best = { name, ex, ey, distance };
      }
    }
    if (best) return best;
    const under = [last, last === "a" ? "b" : "a"].filter((name) => {
      const box = boxes[name];
      return x >= box.x1 && x <= box.x2 && y >= box.y1 && y <= box.y2;
    });
    under.sort((one, other) => area(boxes[one]) - area(boxes[other]));
    return under.length ? { name: under[0] } : null;
  }

  let held = null;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.target.closest("[data-box]")) return;
    const [x, y] = gridPoint(event);
    const target = pick(x, y);
    if (!target) return;
    const box = boxes[target.name];
    last = target.name;
    held = { ...target, pointer: event.pointerId, dx: x - box[target.ex || "x1"], dy: y - box[target.ey || "y1"] };
    svg.setPointerCapture(event.pointerId);
    groups[last].focus({ preventScroll: true });
    event.preventDefault();
  });

  // A finger on a box drags it, beside the boxes it scrolls the page. That is what `touch-action` is for, but inside
  // an SVG not every browser heeds it.
  svg.addEventListener("touchstart", (event) => {
    if (held) event.preventDefault();
  }, { passive: false });

  svg.addEventListener("pointermove", (event) => {
    const [x, y] = gridPoint(event);
    if (!held) {
      const target = event.target.closest("[data-box]") && pick(x, y);
      const falling = target && target.ex && (target.ex === "x1") === (target.ey === "y1");
      svg.style.cursor = !target ? "" : !target.ex ? "move" : falling ? "nwse-resize" : "nesw-resize";
      return;
    }
    if (event.pointerId !== held.pointer) return;
    const box = boxes[held.name];
    const [gx, gy] = [snap(x - held.dx), snap(y - held.dy)];
    if (held.ex) resize(box, held.ex, held.ey, gx, gy);
    else move(box, gx, gy);
    update();
  });

  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, (event) => {
      if (held && event.pointerId === held.pointer) held = null;
    });
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  for (const [name, group] of Object.entries(groups)) {
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "application");
    group.setAttribute("aria-roledescription", "movable box");
    group.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const box = boxes[name];
      const [dx, dy] = arrow.map((direction) => direction * step);
      last = name;
      if (event.shiftKey) resize(box, "x2", "y2", box.x2 + dx, box.y2 + dy);
      else move(box, box.x1 + dx, box.y1 + dy);
      update();
    });
  }

  root.addEventListener("input", (event) => {
    const { box: name, edge } = event.target.dataset;
    if (edge) {
      const value = event.target.valueAsNumber;
      const next = { ...boxes[name], [edge]: value };
      const limit = edge[0] === "x" ? columns : rows;
      const valid = value >= 0 && value <= limit && next.x1 <= next.x2 && next.y1 <= next.y2;
      event.target.toggleAttribute("aria-invalid", false);
      if (!valid) return event.target.setAttribute("aria-invalid", "true");
      boxes[name] = next;
      last = name;
    }
    update();
  });
  root.addEventListener("focusout", (event) => {
    if (event.target.dataset.edge) setTimeout(paint);
  });
  for (const input of root.querySelectorAll("input[data-edge]")) input.readOnly = false;

  root.addEventListener("click", (event) => {
    const preset = event.target.closest("button[data-case]");
    if (!preset) return;
    const [a, b] = state.cases[preset.dataset.case];
    Object.assign(boxes, { a: asBox(a), b: asBox(b) });
    update();
  });

  svg.setAttribute("role", "group");
  paint();
});
