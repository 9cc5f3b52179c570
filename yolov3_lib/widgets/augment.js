// One photograph in the network's input, placed, mirrored and colored by hand; the twin of augment_scene.py.

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const nearest = (value) => Math.floor(value + 0.5);

function frame([width, height], settings, side) {
  const ratio = (width * settings.aspect) / height;
  const length = side * settings.size;
  const [w, h] = (ratio < 1 ? [length * ratio, length] : [length, length / ratio]).map(nearest);
  const [left, top] = [nearest((side - w) * settings.x), nearest((side - h) * settings.y)];
  return [left, top, left + w, top + h];
}

function place({ boxes, size, side, smallest }, settings) {
  const [left, top, right, bottom] = frame(size, settings, side);
  const [sx, sy] = [(right - left) / size[0], (bottom - top) / size[1]];
  return boxes.map(([x1, y1, x2, y2]) => {
    let whole = [x1 * sx + left, y1 * sy + top, x2 * sx + left, y2 * sy + top];
    if (settings.flip) whole = [side - whole[2], whole[1], side - whole[0], whole[3]];
    const seen = whole.map((edge) => clamp(edge, 0, side));
    const [w, h] = [seen[2] - seen[0], seen[3] - seen[1]];
    const share = (w * h) / ((whole[2] - whole[0]) * (whole[3] - whole[1]));
    const kept = share >= settings.visible - 1e-6 && Math.min(w, h) >= smallest;
    return { whole, seen, share, kept };
  });
}

function anchorOf(box, { anchors, strides, side }) {
  const [width, height] = [box[2] - box[0], box[3] - box[1]];
  const overlaps = anchors.map(([w, h]) => {
    const shared = Math.min(w, width) * Math.min(h, height);
    return shared / (w * h + width * height - shared);
  });
  const best = overlaps.indexOf(Math.max(...overlaps));
  const stride = strides[Math.floor(best / 3)];
  const cells = side / stride;
  const cell = (axis) => Math.min(Math.floor((box[axis] + box[axis + 2]) / 2 / stride), cells - 1);
  return `${number(width, 0)} \u00d7 ${number(height, 0)} px: anchor ${anchors[best][0]} \u00d7 ${anchors[best][1]}, ` +
    `row ${cell(1)}, column ${cell(0)} of ${cells} \u00d7 ${cells}`;
}

function readout(placed, state) {
  const said = {};
  placed.forEach(({ seen, share, kept }, i) => {
    const percent = `${fixed(100 * share, 0)}% left`;
    said[`state-${i}`] = !kept ? `dropped, ${percent}` : share > 0.999 ? "whole" : `clipped, ${percent}`;
    said[`anchor-${i}`] = kept ? anchorOf(seen, state) : "trains nothing";
  });
  return said;
}

enliven("augment", (root, state) => {
  const photograph = root.querySelector(".yv-photo");
  const flip = root.querySelector("input[type=checkbox]");
  const sliders = [...root.querySelectorAll("input[type=range]")];
  const now = { ...state.settings };
  const { side } = state;
  const say = announcer(root);

  function paintPhotograph() {
    let [left, , right] = frame(state.size, now, side);
    const [, top, , bottom] = frame(state.size, now, side);
    if (now.flip) [left, right] = [side - right, side - left];
    const percent = (value) => `${(100 * value) / side}%`;
    Object.assign(photograph.style, {
      left: percent(left), top: percent(top), width: percent(right - left), height: percent(bottom - top),
      transform: `scaleX(${now.flip ? -1 : 1})`,
      filter: `hue-rotate(${360 * now.hue}deg) saturate(${now.saturation}) brightness(${now.exposure})`,
    });
  }

  function update() {
    const placed = place(state, now);
    const said = readout(placed, state);
    paintPhotograph();
    placed.forEach(({ whole, seen, kept }, i) => {
      const group = root.querySelector(`[data-object="${i}"]`);
      group.toggleAttribute("data-gone", !kept);
      for (const part of group.children) {
        const [x1, y1, x2, y2] = part.classList.contains("yv-whole") ? whole : seen;
        setAttributes(part, { x: x1, y: y1, width: x2 - x1, height: y2 - y1 });
      }
    });
    for (const output of root.querySelectorAll("[data-out]")) output.textContent = said[output.dataset.out];
    for (const slider of sliders) {
      slider.value = now[slider.dataset.name];
      root.querySelector(`[data-value=${slider.dataset.name}]`).textContent = number(now[slider.dataset.name]);
    }
    flip.checked = now.flip;
    say([...root.querySelectorAll(".yv-row")].map((row, i) =>
      `${row.querySelector("b").textContent} ${said[`state-${i}`]}`).join(". "));
  }

  root.addEventListener("input", (event) => {
    const { name } = event.target.dataset;
    if (name) now[name] = Number(event.target.value);
    else now.flip = flip.checked;
    update();
  });
  root.addEventListener("click", (event) => {
    const preset = event.target.closest("button[data-case]");
    if (!preset) return;
    Object.assign(now, state.cases[preset.dataset.case]);
    update();
  });
  update();
});
