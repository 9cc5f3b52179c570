// Batches of real values, normalized; the twin of batch_norm_figure.py.

const LETTERS = "ABC";

function batchMembers(images, size, batch) {
  const company = size - 1;
  const others = Array.from({ length: company }, (_, i) => 1 + (((batch - 1) * company + i) % (images - 1)));
  return [0, ...others];
}

function meanAndVariance(x) {
  let total = 0;
  for (const value of x) total += value;
  const mean = total / x.length;
  let squares = 0;
  for (const value of x) squares += (value - mean) * (value - mean);
  return [mean, squares / x.length];
}

function measureChannel(state, now, channel) {
  const { values, batches, epsilon } = state;
  const [gamma, beta, m] = [now.gamma[channel], now.beta[channel], now.momentum];
  let [runningMean, runningVariance] = [0, 1];
  const found = { means: [], runningMeans: [], followed: [] };
  for (let batch = 1; batch <= batches; batch += 1) {
    const x = batchMembers(values.length, now.size, batch).flatMap((image) => values[image][channel]);
    const [mean, variance] = meanAndVariance(x);
    const unbiased = x.length > 1 ? (variance * x.length) / (x.length - 1) : variance;
    runningMean = (1 - m) * runningMean + m * mean;
    runningVariance = (1 - m) * runningVariance + m * unbiased;
    found.means.push(mean);
    found.runningMeans.push(runningMean);
    found.followed.push((gamma * (x[0] - mean)) / Math.sqrt(variance + epsilon) + beta);
    if (batch === now.batch) Object.assign(found, { x, mean, variance, runningMean, runningVariance });
  }
  const training = now.mode === "training";
  const center = training ? found.mean : found.runningMean;
  const spread = Math.sqrt((training ? found.variance : found.runningVariance) + epsilon);
  found.y = found.x.map((value) => (gamma * (value - center)) / spread + beta);
  return found;
}

function sayChannel(found, now) {
  return {
    mean: fixed(found.mean, 2),
    deviation: fixed(Math.sqrt(found.variance), 2),
    running_mean: fixed(found.runningMean, 2),
    running_deviation: fixed(Math.sqrt(found.runningVariance), 2),
    used: now.mode === "training" ? "this batch" : "the running averages",
    x: fixed(found.x[0], 2),
    y: fixed(found.y[0], 2),
    followed: `${fixed(Math.min(...found.followed), 2)} to ${fixed(Math.max(...found.followed), 2)}`,
  };
}

enliven("batch_norm", (root, state) => {
  const { range, bins, out, batches, left, right, rows } = state;
  const find = (selector) => root.querySelector(selector);
  const [svg, select] = [find("svg"), find("select")];
  const sliders = [...root.querySelectorAll("input[type=range]")];
  const modes = [...root.querySelectorAll("[data-mode]")];
  const titles = [...root.querySelectorAll(".yv-title")];
  const now = structuredClone(state.setting);
  const say = announcer(root);

  function histogram(found, which, [low, high], [top, bottom]) {
    const counted = found.map((each) => {
      const counts = new Array(bins).fill(0);
      for (const value of each[which]) {
        const place = Math.floor(((value - low) / (high - low)) * bins);
        counts[Math.min(Math.max(place, 0), bins - 1)] += 1;
      }
      return counts;
    });
    const largest = Math.max(...counted.flat());
    const wide = (right - left) / bins;
    counted.forEach((counts, c) => {
      const steps = counts.map((count, i) => {
        const height = number(bottom - ((bottom - top) * count) / largest, 1);
        return `V${height}H${number(left + wide * (i + 1), 1)}`;
      });
      const bars = find(`[data-of=${which}${c}]`);
      bars.setAttribute("d", `M${left} ${bottom}${steps.join("")}V${bottom}`);
      const share = (Math.min(Math.max(found[c][which][0], low), high) - low) / (high - low);
      const dot = find(`[data-at=${which}${c}]`);
      dot.setAttribute("cx", number(left + (right - left) * share, 1));
      for (const node of [bars, dot]) node.toggleAttribute("data-chosen", c === now.channel);
    });
  }

  function history({ means, runningMeans }, [top, bottom]) {
    const [lowest, highest] = [Math.min(0, ...means), Math.max(0, ...means)];
    const room = 0.1 * (highest - lowest) || 1;
    const [low, high] = [lowest - room, highest + room];
    const place = (mean, i) => {
      const x = left + ((right - left) * (i + 1)) / batches;
      return `${number(x, 1)} ${number(bottom - ((bottom - top) * (mean - low)) / (high - low), 1)}`;
    };
    find(".yv-means").setAttribute("d", means.map((mean, i) => `M${place(mean, i)}h0`).join(""));
    find(".yv-running").setAttribute("d", `M${runningMeans.map(place).join("L")}`);
    const at = number(left + ((right - left) * now.batch) / batches, 1);
    find(".yv-now").setAttribute("d", `M${at} ${top}V${bottom}`);
    find(".yv-least").textContent = fixed(low, 1);
    find(".yv-most").textContent = fixed(high, 1);
    titles[2].textContent = `mean of channel ${LETTERS[now.channel]}, batch after batch`;
  }

  function show() {
    const found = [0, 1, 2].map((channel) => measureChannel(state, now, channel));
    const chosen = found[now.channel];
    const said = sayChannel(chosen, now);
    histogram(found, "x", range, rows[0]);
    histogram(found, "y", [-out, out], rows[1]);
    history(chosen, rows[2]);
    for (const node of root.querySelectorAll("[data-out]")) node.textContent = said[node.dataset.out];
    for (const slider of sliders) {
      const { name } = slider.dataset;
      const value = Array.isArray(now[name]) ? now[name][now.channel] : now[name];
      slider.value = value;
      find(`[data-value=${name}]`).textContent = number(value);
    }
    for (const button of modes) button.setAttribute("aria-pressed", button.dataset.mode === now.mode);
    select.value = now.channel;
    const words = `channel ${LETTERS[now.channel]}, normalized by ${said.used}: ${said.x} becomes ${said.y}`;
    svg.setAttribute(
      "aria-label",
      `Histograms of three channels before and after batch normalization, batch ${now.batch} of ${now.size} images; ${words}.`,
    );
    say(words);
  }

  root.addEventListener("input", (event) => {
    const { name } = event.target.dataset;
    const value = Number(event.target.value);
    if (!name) now.channel = value;
    else if (Array.isArray(now[name])) now[name][now.channel] = value;
    else now[name] = value;
    show();
  });
  for (const button of modes) {
    button.addEventListener("click", () => {
      now.mode = button.dataset.mode;
      show();
    });
  }
  show();
});
