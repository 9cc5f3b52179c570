// A step of gradient descent: its length is the slider, its place the map, its worth the plot.

enliven("line_search", (root, state) => {
  const find = (selector) => root.querySelector(selector);
  const [west, , north, unit] = state.map;
  const [width, height, left, below] = state.plot;
  const bottom = height - below;
  const right = width - 8;
  const slider = find("input[type=range]");
  const select = find("select");
  const take = find("[data-do=take]");
  const say = announcer(root);
  let kappa = state.kappa;
  let points = [[5, 5 / kappa]];

  const value = (x) => (x[0] * x[0] + kappa * x[1] * x[1]) / 2;
  const gradient = (x) => [x[0], kappa * x[1]];
  const dotted = (a, b) => a[0] * b[0] + a[1] * b[1];
  const round = (number) => Number(number.toFixed(2));
  const at = (x) => [round((x[0] - west) * unit), round((north - x[1]) * unit)];
  const high = (share) => round(bottom * (1 - share / state.roof));

  // Everything that follows from the path and the slider.
  function situation() {
    const here = points[points.length - 1];
    const g = gradient(here);
    const bend = g[0] * g[0] + kappa * g[1] * g[1];
    const exact = bend > 1e-12 ? dotted(g, g) / bend : 0;
    const share = Number(slider.value);
    const alpha = (exact * share) / 100;
    const along = (length) => [here[0] - length * g[0], here[1] - length * g[1]];
    return { here, g, exact, share, alpha, along, trial: along(alpha) };
  }

  function verdict(exact, share) {
    if (!exact) return "This is the minimum: no direction leads down.";
    if (share === 100) return "The lowest point on the line: the new gradient stands at a right angle to the old one.";
    if (share < 100) return "Still going down: the new gradient has a part along the old one.";
    if (share < 200) return "Past the lowest point, though still below the start.";
    return "As high as the start, or higher: too long.";
  }

  function readout({ here, g, exact, share, alpha, trial }) {
    const next = gradient(trial);
    const dot = dotted(g, next);
    const lengths = Math.hypot(...g) * Math.hypot(...next);
    const angle = (Math.acos(Math.max(-1, Math.min(1, dot / lengths))) * 180) / Math.PI;
    const [before, after] = [value(here), value(trial)];
    const last = points.length > 1 ? value(points[points.length - 2]) : 0;
    return {
      alpha: fixed(alpha),
      after: fixed(after),
      before: fixed(before),
      slope: fixed(-dot, 2),
      angle: lengths > 1e-12 ? `${fixed(angle, 0)}°` : "none",
      armijo: after <= before - state.c1 * alpha * dotted(g, g) ? "holds" : "fails",
      steps: String(points.length - 1),
      ratio: last ? fixed(before / last) : "none yet",
      bound: fixed(((kappa - 1) / (kappa + 1)) ** 2),
      verdict: verdict(exact, share),
    };
  }

  function paint() {
    const now = situation();
    const { here, g, exact, share, along, trial } = now;
    const said = readout(now);
    for (const output of root.querySelectorAll("[data-out]")) output.textContent = said[output.dataset.out];
    slider.setAttribute("aria-valuetext", said.alpha);

    const start = value([5, 5 / kappa]);
    root.querySelectorAll(".yv-contours ellipse").forEach((ellipse, i) => {
      const radius = Math.sqrt(2 * state.levels[i] * start) * unit;
      setAttributes(ellipse, { rx: round(radius), ry: round(radius / Math.sqrt(kappa)) });
    });
    const [x, y] = at(here);
    const [tx, ty] = at(trial);
    const [fx, fy] = at(along((exact * state.longest) / 100));
    find(".yv-ray").setAttribute("d", `M${x} ${y}L${fx} ${fy}`);
    find(".yv-path").setAttribute("d", "M" + points.map((point) => at(point).join(" ")).join("L"));
    setAttributes(find(".yv-here"), { cx: x, cy: y });
    setAttributes(find(".yv-map .yv-trial"), { cx: tx, cy: ty });

    // The plot is in units of the value at 0 and of the exact step.
    const slope = value(here) ? (-exact * dotted(g, g)) / value(here) : 0;
    const plotted = (s) => [
      round(left + ((right - left) * s) / state.longest),
      high(1 + (slope * s) / 100 - (slope * s * s) / 20000),
    ];
    const [end, best, dot] = [state.longest, 100, share].map(plotted);
    const half = [(left + right) / 2, high(1 + (slope * state.longest) / 200)];
    find(".yv-curve").setAttribute("d", `M${left} ${high(1)}Q${half.join(" ")} ${end.join(" ")}`);
    find(".yv-armijo").setAttribute("d", `M${left} ${high(1)}L${right} ${high(1 + (state.c1 * slope * state.longest) / 100)}`);
    find(".yv-best").setAttribute("d", `M${best.join(" ")}V${bottom}`);
    setAttributes(find(".yv-along .yv-trial"), { cx: dot[0], cy: dot[1] });
    // A disabled button would lose the focus of whoever walks by keyboard.
    take.setAttribute("aria-disabled", !possible(now));
    return said;
  }

  // Off the map nothing could be seen any more.
  function possible({ exact, share, trial }) {
    const [x, y] = at(trial);
    const [, , w, h] = find(".yv-map svg").getAttribute("viewBox").split(" ").map(Number);
    return exact > 0 && share > 0 && x >= 0 && x <= w && y >= 0 && y <= h;
  }

  function update(message = "") {
    const said = paint();
    say(`${message}Step ${said.alpha}, function ${said.after} from ${said.before}, angle ${said.angle}. ${said.verdict}`);
  }

  function restart() {
    points = [[5, 5 / kappa]];
    update("Back at the start. ");
  }

  const deeds = {
    exact: () => {
      slider.value = 100;
      update();
    },
    halve: () => {
      slider.value = Math.floor(Number(slider.value) / 2);
      update();
    },
    take: () => {
      const now = situation();
      if (!possible(now)) return say("That point is off the map, or no step at all: change the step first.");
      points.push(now.trial);
      update(`Step ${points.length - 1} taken. `);
    },
    restart,
  };

  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) deeds[button.dataset.do]();
  });
  slider.addEventListener("input", () => update());
  select.addEventListener("change", () => {
    kappa = Number(select.value);
    restart();
  });
  paint();
});
