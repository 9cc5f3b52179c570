// Raw detections under two thresholds, by four rules of suppression.

const SIGMA = 0.5;
const TAG = { perLetter: 7, padding: 12, height: 20 };

function area([x1, y1, x2, y2]) {
  return (x2 - x1) * (y2 - y1);
}

function iou(a, b) {
  const w = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0);
  const h = Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  const union = area(a) + area(b) - w * h;
  return union === 0 ? 0 : (w * h) / union;
}

// Each rule takes the candidates, best first, and tells who is kept (best first), with which score, and for each
// box that goes, which boxes made it go. Two boxes meet only if `rivals` says so.

function greedy(order, overlaps, scores) {
  const by = new Map();
  const kept = [];
  order.forEach((i, rank) => {
    if (by.has(i)) return;
    kept.push(i);
    for (const j of order.slice(rank + 1)) if (!by.has(j) && overlaps(i, j)) by.set(j, [i]);
  });
  return { kept, by, scores };
}

function pairwise(order, overlaps, scores) {
  const by = new Map();
  for (const j of order) {
    const better = order.filter((i) => scores[i] > scores[j] && overlaps(i, j));
    if (better.length) by.set(j, better);
  }
  return { kept: order.filter((i) => !by.has(i)), by, scores };
}

function soft(order, overlaps, scores, threshold, boxes, rivals) {
  const by = new Map();
  const kept = [];
  const rescored = [...scores];
  // Ascending indices, and a strict comparison, so that of equal scores the lower index goes first.
  let left = [...order].sort((i, j) => i - j);
  while (left.length) {
    const best = left.reduce((one, other) => (rescored[other] > rescored[one] ? other : one));
    kept.push(best);
    left = left.filter((j) => {
      if (j === best) return false;
      if (rivals(best, j)) rescored[j] *= Math.exp(-(iou(boxes[best], boxes[j]) ** 2) / SIGMA);
      if (rescored[j] > threshold) return true;
      by.set(j, [best]);
      return false;
    });
  }
  return { kept, by, scores: rescored };
}

function suppress(rule, { boxes, scores, classes }, scoreThreshold, iouThreshold) {
  const order = scores.map((_, i) => i).filter((i) => scores[i] > scoreThreshold);
  order.sort((i, j) => scores[j] - scores[i] || i - j);
  const rivals = (i, j) => rule === "agnostic" || classes[i] === classes[j];
  const overlaps = (i, j) => rivals(i, j) && iou(boxes[i], boxes[j]) > iouThreshold;
  const run = { greedy, agnostic: greedy, pairwise, soft }[rule];
  return { order, ...run(order, overlaps, scores, scoreThreshold, boxes, rivals) };
}

function outline(boxes) {
  return boxes.map(([x1, y1, x2, y2]) => `M${x1} ${y1}H${x2}V${y2}H${x1}Z`).join("");
}

enliven("nms", (root, state) => {
  const { boxes, names, colors, classes } = state;
  const find = (selector) => root.querySelector(selector);
  const [scoreSlider, iouSlider] = root.querySelectorAll("input[type=range]");
  const [scoreOutput, iouOutput] = root.querySelectorAll("output");
  const rule = find("select");
  const stage = find(".yv-stage");
  const layer = find(".yv-kept");
  const detail = find(".yv-detail");
  const idle = detail.textContent;
  const say = announcer(root);
  let result = null;
  let active = null;
  let wanted = null;

  const title = (i) => `${names[classes[i]]} ${fixed(result.scores[i], 2)}`;
  const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : noun.endsWith("x") ? "es" : "s"}`;

  function make(tag, attributes, parent) {
    const node = tag === "span" ? document.createElement(tag) : document.createElementNS(find("svg").namespaceURI, tag);
    setAttributes(node, attributes);
    parent.append(node);
    return node;
  }

  function paintKept() {
    layer.replaceChildren();
    // Small boxes last, so that they lie above the large ones that they are in.
    const stacked = [...result.kept].sort((i, j) => area(boxes[j]) - area(boxes[i]) || i - j);
    for (const i of stacked) {
      const [x1, y1, x2, y2] = boxes[i];
      const group = make("g", { "data-index": i, role: "option", "aria-label": title(i), "aria-selected": "false" }, layer);
      group.setAttribute("tabindex", i === result.kept[0] ? "0" : "-1");
      group.style.setProperty("--c", colors[classes[i]][0]);
      const frame = { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0) };
      make("rect", frame, group);
      make("rect", frame, group);
    }
    // A listbox must hold options.
    layer.toggleAttribute("role", false);
    if (stacked.length) setAttributes(layer, { role: "listbox", "aria-label": "Kept boxes" });
  }

  // A tag stands above its box, or inside where there is no room, and stays away while a better one is there.
  function paintTags() {
    for (const tag of stage.querySelectorAll(".yv-tag")) tag.remove();
    const scale = stage.clientWidth / state.size[0];
    const placed = [];
    for (const i of result.kept) {
      const [color, ink] = colors[classes[i]];
      const written = title(i);
      const tagWidth = written.length * TAG.perLetter + TAG.padding;
      const left = Math.max(0, Math.min(boxes[i][0] * scale, stage.clientWidth - tagWidth));
      let top = boxes[i][1] * scale - TAG.height;
      if (top < 0) top = Math.max(0, boxes[i][1] * scale);
      const tag = make("span", { class: "yv-tag", "data-index": i, "aria-hidden": "true" }, stage);
      tag.textContent = written;
      tag.style.cssText = `left:${left.toFixed(1)}px;top:${top.toFixed(1)}px;--c:${color};--t:${ink}`;
      const crowded = placed.some(
        (p) => left < p.left + p.tagWidth && p.left < left + tagWidth && Math.abs(top - p.top) < TAG.height,
      );
      tag.toggleAttribute("data-crowded", crowded);
      if (!crowded) placed.push({ left, top, tagWidth });
    }
  }

  function paintCounts(threshold) {
    for (const item of root.querySelectorAll("[data-class]")) {
      const mine = (i) => classes[i] === Number(item.dataset.class);
      const [kept, all] = [result.kept.filter(mine).length, result.order.filter(mine).length];
      item.querySelector("b").textContent = kept;
      item.querySelector("span").textContent = all;
      item.toggleAttribute("data-none", all === 0);
    }
    let compared = "";
    if (rule.value !== "greedy") {
      const reference = suppress("greedy", state, ...threshold).kept;
      const lost = reference.filter((i) => !result.kept.includes(i)).length;
      const gained = result.kept.filter((i) => !reference.includes(i)).length;
      compared = ` \u00b7 greedy per class keeps ${reference.length}: ${lost} of them lost here, ${gained} added`;
    }
    find("[data-out=kept]").textContent = result.kept.length;
    find("[data-out=candidates]").textContent = plural(result.order.length, "candidate");
    find("[data-out=compared]").textContent = compared;
  }

  function paintActive() {
    const won = active === null ? [] : [...result.by].filter(([, by]) => by.includes(active)).map(([j]) => j);
    root.toggleAttribute("data-has-active", active !== null);
    for (const node of root.querySelectorAll("[data-index]")) {
      const mine = Number(node.dataset.index) === active;
      node.toggleAttribute("data-active", mine);
      if (node.hasAttribute("aria-selected")) node.setAttribute("aria-selected", mine);
    }
    for (const path of root.querySelectorAll(".yv-won path")) path.setAttribute("d", outline(won.map((i) => boxes[i])));
    if (active === null) {
      detail.textContent = idle;
      return;
    }
    const overlap = won.map((i) => iou(boxes[active], boxes[i])).sort((one, other) => one - other);
    const range = !won.length ? "" : ` (IoU ${fixed(overlap[0], 2)} to ${fixed(overlap[won.length - 1], 2)})`;
    detail.textContent = `${title(active)} suppresses ${won.length ? plural(won.length, "box") : "no box"}${range}.`;
  }

  function activate(index) {
    if (index === active) return;
    active = index;
    paintActive();
  }

  function update() {
    const threshold = [Number(scoreSlider.value), Number(iouSlider.value)];
    result = suppress(rule.value, state, ...threshold);
    active = wanted = null;
    scoreOutput.textContent = fixed(threshold[0], 2);
    // The Gaussian rule has no threshold: it lowers every score by how much the boxes overlap.
    iouSlider.disabled = rule.value === "soft";
    iouOutput.textContent = iouSlider.disabled ? "not used" : fixed(threshold[1], 2);
    const gone = [...result.by.keys()].sort((i, j) => i - j).map((i) => boxes[i]);
    for (const path of root.querySelectorAll(".yv-gone path")) path.setAttribute("d", outline(gone));
    paintKept();
    paintTags();
    paintCounts(threshold);
    paintActive();
  }

  root.addEventListener("input", (event) => {
    if (event.target.type === "checkbox") return root.toggleAttribute("data-hide-gone", !event.target.checked);
    update();
    say(find(".yv-outcome").textContent);
  });

  const indexAt = (event) => {
    const group = event.target.closest(".yv-kept > g");
    return group ? Number(group.dataset.index) : null;
  };
  // A tap or the keyboard chooses a box for good, a mouse only while it is over one.
  stage.addEventListener("pointerover", (event) => {
    if (event.pointerType === "mouse") activate(indexAt(event) ?? wanted);
  });
  stage.addEventListener("pointerleave", () => activate(wanted));
  stage.addEventListener("click", (event) => {
    const index = indexAt(event);
    wanted = index === wanted ? null : index;
    activate(wanted);
  });
  layer.addEventListener("focusin", (event) => {
    if (!event.target.matches(":focus-visible")) return;
    wanted = indexAt(event);
    activate(wanted);
  });
  layer.addEventListener("focusout", () => {
    wanted = null;
    activate(null);
  });
  layer.addEventListener("keydown", (event) => {
    const direction = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!direction || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { kept } = result;
    const next = kept[(kept.indexOf(indexAt(event)) + direction + kept.length) % kept.length];
    for (const group of layer.children) group.setAttribute("tabindex", Number(group.dataset.index) === next ? "0" : "-1");
    layer.querySelector(`[data-index="${next}"]`).focus();
  });

  let width = stage.clientWidth;
  new ResizeObserver(() => {
    if (stage.clientWidth === width) return;
    width = stage.clientWidth;
    paintTags();
    paintActive();
  }).observe(stage);

  update();
});
