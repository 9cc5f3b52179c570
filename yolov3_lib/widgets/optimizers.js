// Two rules walk from one start; everything that is drawn and said follows from the state.

enliven("optimizers", (root, state) => {
  const find = (selector) => root.querySelector(selector);
  const [wide, high] = state.size;
  const say = announcer(root);
  const svg = find("svg");
  const control = (name) => find(`[data-do=${name}]`);

  const HEIGHTS = {
    valley: ([x, y]) => (x * x + 25 * y * y) / 2,
    saddle: ([x, y]) => (x * x) / 2 - (y * y) / 2 + y ** 4 / 16,
    "noisy bowl": ([x, y]) => (x * x + 4 * y * y) / 2,
    "two hollows": ([x, y]) => (x * x - 4) ** 2 / 16 + 0.2 * x + (y * y) / 2,
  };
  const GRADIENTS = {
    valley: ([x, y]) => [x, 25 * y],
    saddle: ([x, y]) => [x, y ** 3 / 4 - y],
    "noisy bowl": ([x, y], step) => {
      const pull = state.pulls[step % state.pulls.length];
      return [x + pull[0], 4 * y + pull[1]];
    },
    "two hollows": ([x, y]) => [(x * (x * x - 4)) / 4 + 0.2, y],
  };
  const EPSILON = 1e-8;
  const LONG = 0.999;

  // Each rule gives the step to be subtracted, one coordinate at a time; `kept` is its memory of that coordinate.
  const adam = (g, kept, lr, beta, t, powers) => {
    kept.m = beta * (kept.m || 0) + (1 - beta) * g;
    kept.s = LONG * (kept.s || 0) + (1 - LONG) * g * g;
    const m = kept.m / (1 - (powers ? beta ** t : beta));
    const s = kept.s / (1 - (powers ? LONG ** t : LONG));
    return (lr * m) / (Math.sqrt(s) + EPSILON);
  };
  const RULES = {
    "gradient descent": (g, kept, lr) => lr * g,
    momentum: (g, kept, lr, beta) => {
      kept.v = beta * (kept.v || 0) + g;
      return lr * kept.v;
    },
    RMSprop: (g, kept, lr, beta) => {
      kept.s = beta * (kept.s || 0) + (1 - beta) * g * g;
      return (lr * g) / (Math.sqrt(kept.s) + EPSILON);
    },
    Adam: (g, kept, lr, beta, t) => adam(g, kept, lr, beta, t, true),
    "Adam, the document's": (g, kept, lr, beta, t) => adam(g, kept, lr, beta, t, false),
  };

  const left = (point) => Math.max(Math.abs(point[0]), Math.abs(point[1])) > state.reach;

  function walk([rule, lr, beta]) {
    const points = [state.start];
    const kept = [{}, {}];
    for (let step = 0; step < state.steps; step++) {
      const here = points[step];
      if (left(here)) {
        points.push(here);
        continue;
      }
      const g = GRADIENTS[state.place](here, step);
      const move = (i) => RULES[rule](g[i], kept[i], state.rates[lr], state.memories[beta], step + 1);
      points.push([here[0] - move(0), here[1] - move(1)]);
    }
    return points;
  }

  const written = (point) => `(${fixed(point[0], 2)}, ${fixed(point[1], 2)})`;

  function verdict([first, second]) {
    if (first === Infinity && second === Infinity) return "Both have left: their rates are too large here.";
    if (Math.abs(first - second) < 5e-4) return "Both are equally low.";
    return `The ${first < second ? "first" : "second"} is lower.`;
  }

  function readout(walks) {
    const height = HEIGHTS[state.place];
    const bottom = height(state.places[state.place].lowest);
    const enough = bottom + state.arrived * (height(state.start) - bottom);
    const said = { step: `${state.step} of ${state.steps}`, start: written(state.start) };
    const heights = walks.map((points, i) => {
      const side = "ab"[i];
      const [rule, lr, beta] = state.runners[i];
      const here = points[state.step];
      const before = points[Math.max(0, state.step - 1)];
      const arrived = points.findIndex((point) => !left(point) && height(point) <= enough);
      const gone = left(here);
      said[`${side}_lr`] = number(state.rates[lr], 3);
      said[`${side}_beta`] = state.rules[rule][0] ? number(state.memories[beta], 2) : "none";
      said[`${side}_at`] = gone ? "has left" : written(here);
      said[`${side}_height`] = gone ? "none" : fixed(height(here));
      said[`${side}_length`] = gone ? "none" : fixed(Math.hypot(here[0] - before[0], here[1] - before[1]));
      said[`${side}_arrived`] = arrived < 0 ? `not in ${state.steps} steps` : `after ${arrived}`;
      return gone ? Infinity : height(here);
    });
    said.verdict = verdict(heights);
    return said;
  }

  function at(point) {
    const [x0, x1, y0, y1] = state.places[state.place].window;
    const bounded = (value) => number(Math.max(-2000, Math.min(2000, value)), 1);
    const x = ((point[0] - x0) / (x1 - x0)) * wide;
    const y = ((y1 - point[1]) / (y1 - y0)) * high;
    // A path knows no true minus.
    return [bounded(x), bounded(y)].map((value) => value.replace(MINUS, "-"));
  }

  function paint() {
    const walks = state.runners.map(walk);
    const said = readout(walks);
    for (const output of root.querySelectorAll("[data-out]")) output.textContent = said[output.dataset.out];
    for (const group of root.querySelectorAll("[data-place]")) {
      group.style.display = group.dataset.place === state.place ? "" : "none";
    }
    walks.forEach((points, i) => {
      const places = points.map((point) => at(point).join(" "));
      const done = places.slice(0, state.step + 1);
      const group = find(`svg .yv-side-${"ab"[i]}`);
      group.querySelector(".yv-later").setAttribute("d", "M" + places.join("L"));
      group.querySelector(".yv-walked").setAttribute("d", "M" + done.join("L"));
      group.querySelector(".yv-dots").setAttribute("d", done.map((place) => `M${place}h0`).join(""));
      const [cx, cy] = at(points[state.step]);
      setAttributes(group.querySelector(".yv-here"), { cx, cy });
    });
    const [cx, cy] = at(state.start);
    setAttributes(find(".yv-start"), { cx, cy });
    control("step").setAttribute("aria-valuetext", said.step);
    for (const [i, side] of [...("ab")].entries()) {
      const memory = state.rules[state.runners[i][0]][0];
      control(`${side}_lr`).setAttribute("aria-valuetext", said[`${side}_lr`]);
      control(`${side}_beta`).setAttribute("aria-valuetext", said[`${side}_beta`]);
      control(`${side}_beta`).disabled = !memory;
      find(`[data-letter=${side}_beta]`).textContent = memory || "memory";
    }
    return said;
  }

  function update() {
    const said = paint();
    say(`Step ${said.step}. First at ${said.a_at}, height ${said.a_height}. Second at ${said.b_at}, height ${said.b_height}. ${said.verdict}`);
  }

  function startAt(x, y) {
    const [x0, x1, y0, y1] = state.places[state.place].window;
    [["x", x, x0, x1], ["y", y, y0, y1]].forEach(([axis, value, low, high_], i) => {
      const slider = control(`start_${axis}`);
      setAttributes(slider, { min: Math.round(100 * low), max: Math.round(100 * high_) });
      slider.value = Math.round(100 * value);
      slider.setAttribute("aria-valuetext", fixed(slider.value / 100, 2));
      if (i) state.start = [control("start_x").value / 100, slider.value / 100];
    });
    update();
  }

  const deeds = {
    place: (value) => {
      state.place = value;
      startAt(...state.places[value].start);
    },
    step: (value) => {
      state.step = Number(value);
      update();
    },
    start_x: (value) => startAt(value / 100, state.start[1]),
    start_y: (value) => startAt(state.start[0], value / 100),
  };
  ["a", "b"].forEach((side, i) => {
    deeds[`${side}_rule`] = (value) => {
      const [, lr, beta] = state.rules[value];
      state.runners[i] = [value, lr, beta];
      control(`${side}_lr`).value = lr;
      control(`${side}_beta`).value = beta;
      update();
    };
    ["lr", "beta"].forEach((key, k) => {
      deeds[`${side}_${key}`] = (value) => {
        state.runners[i][k + 1] = Number(value);
        update();
      };
    });
  });
  for (const kind of ["input", "change"]) {
    root.addEventListener(kind, (event) => {
      // A select answers to both; once is enough.
      if ((kind === "change") === (event.target.tagName === "SELECT")) deeds[event.target.dataset.do](event.target.value);
    });
  }
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const [x0, x1, y0, y1] = state.places[state.place].window;
    const x = x0 + ((event.clientX - box.left) / box.width) * (x1 - x0);
    const y = y1 - ((event.clientY - box.top) / box.height) * (y1 - y0);
    startAt(x, y);
  });
  paint();
});
