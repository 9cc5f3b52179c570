// A point slides along the edge of a disk; the two gradients become parallel where f has no slope along the edge.

const AT_REST = 0.03;
const gradientF = (x, y) => [4 * x ** 3 + 4 * x * y + 2 * x, 2 * x ** 2 + 8 * y + 6];
const valueF = (x, y) => x ** 4 + 2 * x ** 2 * y + x ** 2 + 4 * y ** 2 + 6 * y;

// The same formulas as state_at() in lagrange_figure.py.
function stateAt(angle, radius) {
  const [x, y] = [radius * Math.cos(angle), radius * Math.sin(angle)];
  const gf = gradientF(x, y);
  const gg = [2 * x, 2 * y];
  const slope = (-gf[0] * y + gf[1] * x) / radius;
  const multiplier = -(gf[0] * gg[0] + gf[1] * gg[1]) / (gg[0] ** 2 + gg[1] ** 2);
  return { x, y, f: valueF(x, y), gf, gg, slope, multiplier, rest: Math.abs(slope) < AT_REST };
}

function verdictOf(s) {
  if (!s.rest) return `Not parallel: f falls ${s.slope > 0 ? "clockwise" : "counterclockwise"} along the circle.`;
  return s.multiplier > 0
    ? "Parallel, multiplier positive: f falls only outward, so \u2264 holds it here too."
    : "Parallel, multiplier negative: with \u2264, f falls into the disk.";
}

enliven("lagrange", (root, state) => {
  const find = (selector) => root.querySelector(selector);
  const [angle, radius] = [find("input[data-role=angle]"), find("input[data-role=radius]")];
  const { unit, middle } = state;
  const say = announcer(root);
  const X = (x) => Number((middle + unit * x).toFixed(2));
  const Y = (y) => Number((middle - unit * y).toFixed(2));

  function arrow([x, y], [dx, dy], aside) {
    const size = Math.hypot(dx, dy) || 1;
    const length = 0.16 + 0.34 * size / (size + 3);
    const [ux, uy] = [dx / size, dy / size];
    const [ex, ey] = [x + length * ux, y + length * uy];
    const wing = (side) => [ex - 0.07 * ux + side * 0.05 * uy, ey - 0.07 * uy - side * 0.05 * ux];
    const [[ax, ay], [bx, by]] = [wing(1), wing(-1)];
    return {
      shaft: `M${X(x)} ${Y(y)}L${X(ex)} ${Y(ey)}`,
      head: `M${X(ax)} ${Y(ay)}L${X(ex)} ${Y(ey)}L${X(bx)} ${Y(by)}`,
      end: [ex + 0.08 * ux + aside * uy, ey + 0.08 * uy - aside * ux],
    };
  }

  function paint() {
    const r = radius.valueAsNumber;
    const degrees = angle.valueAsNumber;
    const s = stateAt(degrees * Math.PI / 180, r);
    for (const node of root.querySelectorAll(".yv-region, .yv-constraint")) node.setAttribute("r", (unit * r).toFixed(2));
    setAttributes(find(".yv-dot"), { cx: X(s.x), cy: Y(s.y) });
    setAttributes(find(".yv-reach"), { cx: X(s.x), cy: Y(s.y) });
    for (const [name, vector, aside] of [["f", s.gf, 0], ["g", s.gg, 0.16]]) {
      const { shaft, head, end } = arrow([s.x, s.y], vector, aside);
      find(`.yv-shaft-${name}`).setAttribute("d", shaft);
      find(`.yv-head-${name}`).setAttribute("d", head);
      setAttributes(find(`.yv-label-${name}`), { x: X(end[0]), y: Y(end[1]) });
    }
    const said = {
      angle: `${number(degrees, 1)}\u00b0`, radius: fixed(r, 2), point: `(${fixed(s.x, 3)}, ${fixed(s.y, 3)})`, f: fixed(s.f, 3),
      slope: fixed(s.slope, 3), multiplier: s.rest ? fixed(s.multiplier, 2) : "none here", verdict: verdictOf(s),
    };
    for (const node of root.querySelectorAll("[data-out]")) node.textContent = said[node.dataset.out];
    return said;
  }

  function update() {
    const said = paint();
    say(`f = ${said.f}. ${said.verdict}`);
  }

  root.addEventListener("input", update);
  root.addEventListener("click", (event) => {
    const preset = event.target.closest("button[data-angle]");
    if (!preset) return;
    angle.value = preset.dataset.angle;
    radius.value = 1;
    update();
  });

  const svg = find("svg");
  let held = false;
  function follow(event) {
    const rect = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / rect.width;
    const [dx, dy] = [(event.clientX - rect.left) * scale - middle, middle - (event.clientY - rect.top) * scale];
    angle.value = (Math.round(Math.atan2(dy, dx) * 1800 / Math.PI) / 10 + 360) % 360;
    update();
  }
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.target.closest(".yv-reach")) return;
    held = true;
    svg.setPointerCapture(event.pointerId);
    event.preventDefault();
    follow(event);
  });
  svg.addEventListener("touchstart", (event) => { if (held) event.preventDefault(); }, { passive: false });
  svg.addEventListener("pointermove", (event) => { if (held) follow(event); });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { held = false; });
  paint();
});
