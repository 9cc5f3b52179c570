// A network of hinges in training; the twin of leaky_relu_figure.py and of foundations/leaky_relu.py.

const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));

// Value and derivative of an activation, written into two places: a training has a million of them.
const pair = [0, 0];
function activate(kind, z, slope) {
  if (kind === "silu") {
    const s = sigmoid(z);
    pair[0] = z * s;
    pair[1] = s * (1 + z * sigmoid(-z));
  } else if (kind === "mish") {
    const t = Math.tanh(softplus(z));
    pair[0] = z * t;
    pair[1] = t + z * (1 - t * t) * sigmoid(z);
  } else {
    pair[0] = z > 0 ? z : slope * z;
    pair[1] = z > 0 ? 1 : slope;
  }
}

function trainAll(state, setting) {
  const { x, target } = state;
  const { activation, rate } = setting;
  const leak = ["leaky", "prelu"].includes(activation) ? setting.slope : 0;
  let net = {
    w: state.weight, b: state.bias.map((b) => b - setting.shift), u: state.out, c: 0, a: state.weight.map(() => leak),
  };
  const last = state.stops[state.stops.length - 1];
  const count = net.w.length;
  const history = [];
  const [values, slopes, zs] = [[], [], []];
  for (let step = 0; step <= last; step += 1) {
    const { w, b, u, c, a } = net;
    const [dw, db, du, da] = [0, 1, 2, 3].map(() => new Array(count).fill(0));
    let [dc, loss] = [0, 0];
    for (let i = 0; i < x.length; i += 1) {
      let y = 0;
      for (let j = 0; j < count; j += 1) {
        zs[j] = w[j] * x[i] + b[j];
        activate(activation, zs[j], a[j]);
        [values[j], slopes[j]] = pair;
        y += u[j] * values[j];
      }
      const error = y + c - target[i];
      loss += error * error;
      const by = (2 / x.length) * error;
      for (let j = 0; j < count; j += 1) {
        const through = u[j] * by * slopes[j];
        dw[j] += through * x[i];
        db[j] += through;
        du[j] += values[j] * by;
        if (activation === "prelu") da[j] += u[j] * by * Math.min(zs[j], 0);
      }
      dc += by;
    }
    loss /= x.length;
    if (!(loss <= state.tooLarge)) break;
    history.push({ loss, net });
    const moved = (part, slope) => part.map((value, j) => value - rate * slope[j]);
    net = { w: moved(w, dw), b: moved(b, db), u: moved(u, du), c: c - rate * dc, a: moved(a, da) };
  }
  return history;
}

function statesOf(net, x) {
  return net.w.map((w, j) => {
    if (x.every((each) => w * each + net.b[j] <= 0)) return "silent";
    return Math.abs(-net.b[j] / w) < 1 ? "bends" : "straight";
  });
}

function readout(state, setting, history, found) {
  const over = setting.at >= history.length;
  const { loss, net } = history[Math.min(setting.at, history.length - 1)];
  const counted = (kind) => found.filter((each) => each === kind).length;
  let flat = 0;
  for (const x of state.x) {
    net.w.forEach((w, j) => {
      activate(setting.activation, w * x + net.b[j], net.a[j]);
      flat += Math.abs(pair[1]) < 0.01;
    });
  }
  return {
    step: `step ${setting.at}`,
    loss: over ? `diverged at step ${history.length}` : fixed(loss, 4),
    silent: `${counted("silent")} of ${net.w.length}`,
    bends: `${counted("bends")}`,
    flat: `${fixed((100 * flat) / (state.x.length * net.w.length), 0)} %`,
  };
}

enliven("leaky_relu", (root, state) => {
  const { stops, rates, names } = state;
  const [left, right, top, bottom, reach, tall, marks] = state.frame;
  const [lossTop, lossBottom, low, high] = state.lossFrame;
  const find = (selector) => root.querySelector(selector);
  const all = (selector) => [...root.querySelectorAll(selector)];
  const [svg, select, play] = [find("svg"), find("select"), find("[data-walk=play]")];
  const [terms, kinks] = [all(".yv-term"), all(".yv-kink")];
  const say = announcer(root);
  let now = { ...state.setting };
  let history = trainAll(state, now);
  let timer = 0;

  const px = (x) => (left + right) / 2 + (((right - left) / 2) * Math.max(-reach, Math.min(reach, x))) / reach;
  const py = (y) => (top + bottom) / 2 - (((bottom - top) / 2) * y) / tall;
  const stopX = (index) => left + ((right - left) * index) / (stops.length - 1);

  // A line over the whole width that hits the kinks; it pauses where it leaves the frame.
  function path(valueAt, pieces, kinks) {
    const xs = Array.from({ length: pieces + 1 }, (_, i) => reach * ((2 * i) / pieces - 1));
    xs.push(...kinks.filter((kink) => Math.abs(kink) < reach));
    let [d, pen] = ["", "M"];
    for (const x of xs.sort((a, b) => a - b)) {
      const value = valueAt(x);
      if (!(Math.abs(value) <= tall)) {
        pen = "M";
        continue;
      }
      d += `${pen}${number(px(x), 1)} ${number(py(value), 1)}`.replaceAll(MINUS, "-");
      pen = "L";
    }
    return d || "M0 0";
  }

  function showLoss() {
    const points = [];
    stops.forEach((stop, i) => {
      if (stop >= history.length) return;
      const power = Math.max(low, Math.min(high, Math.log10(Math.max(history[stop].loss, 1e-9))));
      const y = lossBottom - ((lossBottom - lossTop) * (power - low)) / (high - low);
      points.push(`${stopX(i).toFixed(1)} ${y.toFixed(1)}`);
    });
    find(".yv-loss").setAttribute("d", `M${points.join("L")}`);
  }

  function show() {
    const { net } = history[Math.min(now.at, history.length - 1)];
    const found = statesOf(net, state.x);
    const said = readout(state, now, history, found);
    const term = (j, x) => {
      activate(now.activation, net.w[j] * x + net.b[j], net.a[j]);
      return net.u[j] * pair[0];
    };
    const at = net.w.map((w, j) => -net.b[j] / w);
    find(".yv-fit").setAttribute("d", path((x) => net.w.reduce((sum, _, j) => sum + term(j, x), net.c), 120, at));
    found.forEach((kind, j) => {
      setAttributes(terms[j], { d: path((x) => term(j, x), 24, [at[j]]), class: `yv-term yv-${kind}` });
      const middle = px(Number.isFinite(at[j]) ? at[j] : reach);
      const [less, more] = [5, 6].map((by) => [(middle - by).toFixed(1), (middle + by).toFixed(1)]);
      const d = kind === "silent"
        ? `M${less[0]} ${marks - 5}L${less[1]} ${marks + 5}M${less[0]} ${marks + 5}L${less[1]} ${marks - 5}`
        : `M${middle.toFixed(1)} ${marks - 6}L${more[1]} ${marks + 5}L${more[0]} ${marks + 5}Z`;
      setAttributes(kinks[j], { d, class: `yv-kink yv-${kind}` });
    });
    find(".yv-cursor").setAttribute("d", `M${stopX(stops.indexOf(now.at)).toFixed(1)} ${lossTop}V${lossBottom}`);
    for (const node of all("[data-out]")) node.textContent = said[node.dataset.out];
    const shown = { slope: number(now.slope, 2), rate: number(now.rate, 3), shift: number(now.shift, 2), at: said.step };
    for (const slider of all("input")) {
      const { name } = slider.dataset;
      const position = { at: stops.indexOf(now.at), rate: rates.indexOf(now.rate) };
      slider.value = position[name] ?? now[name];
      slider.setAttribute("aria-valuetext", shown[name]);
      if (name === "slope") slider.disabled = !["leaky", "prelu"].includes(now.activation);
      const output = find(`[data-value=${name}]`);
      if (output) output.textContent = shown[name];
    }
    select.value = now.activation;
    find("[data-walk=back]").disabled = now.at === stops[0];
    find("[data-walk=next]").disabled = now.at === stops[stops.length - 1];
    const words = `${said.step}: loss ${said.loss}, ${said.silent} silent, ${said.bends} bend the line`;
    svg.setAttribute("aria-label", `A network of hinges fitted to a wave with ${names[now.activation]}. ${words}.`);
    say(words);
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }

  function walk(by) {
    const index = Math.max(0, Math.min(stops.length - 1, stops.indexOf(now.at) + by));
    now.at = stops[index];
    show();
    return index < stops.length - 1;
  }

  function retrain() {
    history = trainAll(state, now);
    showLoss();
    show();
  }

  root.addEventListener("input", (event) => {
    const { name } = event.target.dataset;
    const value = Number(event.target.value);
    stop();
    if (name === "at") {
      now.at = stops[value];
      show();
      return;
    }
    if (name) now[name] = name === "rate" ? rates[value] : value;
    else now.activation = select.value;
    retrain();
  });
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const playing = timer !== 0;
    stop();
    if (button.dataset.case) {
      now = { ...state.cases[button.dataset.case] };
      retrain();
    } else if (button !== play) {
      walk(button.dataset.walk === "next" ? 1 : -1);
    } else if (!playing) {
      if (now.at === stops[stops.length - 1]) now.at = stops[0];
      play.textContent = "Pause";
      show();
      timer = setInterval(() => walk(1) || stop(), 120);
    }
  });
  showLoss();
  show();
});
