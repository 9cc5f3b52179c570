// The same logits read by a softmax and by sigmoids: probabilities, losses and gradients, computed here.

const softplus = (t) => Math.max(t, 0) + Math.log1p(Math.exp(-Math.abs(t)));
const total = (values) => values.reduce((sum, value) => sum + value, 0);

// The same as numbers() in cross_entropy_figure.py.
function numbersOf(logits, targets) {
  const largest = Math.max(...logits);
  const powers = logits.map((t) => Math.exp(t - largest));
  const soft = powers.map((power) => power / total(powers));
  const sig = logits.map((t) => Math.exp(-softplus(-t)));
  const yes = total(targets);
  const share = targets.map((y) => (yes ? y / yes : 0));
  const logSum = largest + Math.log(total(powers));
  return {
    soft, sig,
    softSlope: yes ? soft.map((p, i) => p - share[i]) : null,
    sigSlope: sig.map((p, i) => p - targets[i]),
    softLoss: yes ? total(logits.map((t, i) => share[i] * (logSum - t))) : null,
    sigLoss: total(logits.map((t, i) => (targets[i] ? softplus(-t) : softplus(t)))),
    floor: yes ? Math.log(yes) : null,
  };
}

function readout(logits, found) {
  const said = {
    "soft-loss": found.softLoss === null ? "not defined" : fixed(found.softLoss),
    floor: found.floor === null ? "\u2013" : fixed(found.floor),
    "sig-loss": fixed(found.sigLoss), "soft-sum": fixed(total(found.soft), 2), "sig-sum": fixed(total(found.sig), 2),
  };
  logits.forEach((t, i) => {
    said[`${i}-logit`] = fixed(t, 2);
    said[`${i}-soft`] = fixed(found.soft[i]);
    said[`${i}-sig`] = fixed(found.sig[i]);
    said[`${i}-sig-slope`] = fixed(found.sigSlope[i]);
    said[`${i}-soft-slope`] = found.softSlope ? fixed(found.softSlope[i]) : "\u2013";
  });
  return said;
}

enliven("cross_entropy", (root, state) => {
  const sliders = [...root.querySelectorAll("[data-logit]")];
  const boxes = [...root.querySelectorAll("[data-target]")];
  const say = announcer(root);
  let { logits, targets } = state;

  function update() {
    const found = numbersOf(logits, targets);
    const said = readout(logits, found);
    for (const node of root.querySelectorAll("[data-out]")) node.textContent = said[node.dataset.out];
    for (const node of root.querySelectorAll("[data-bar]")) {
      const [i, kind, slope] = node.dataset.bar.split("-");
      const values = slope ? found[`${kind}Slope`] : found[kind];
      node.style.setProperty("--v", values ? values[i].toFixed(4) : 0);
    }
    sliders.forEach((slider, i) => {
      slider.value = logits[i];
      boxes[i].checked = targets[i] === 1;
    });
    root.querySelector("[data-step=soft]").disabled = !found.softSlope;
    say(`Softmax loss ${said["soft-loss"]}, sigmoid loss ${said["sig-loss"]}.`);
  }

  root.addEventListener("input", (event) => {
    const { logit, target } = event.target.dataset;
    if (logit !== undefined) logits = logits.map((t, i) => (i === Number(logit) ? event.target.valueAsNumber : t));
    if (target !== undefined) targets = targets.map((y, i) => (i === Number(target) ? Number(event.target.checked) : y));
    update();
  });
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.case) {
      [logits, targets] = state.cases[button.dataset.case];
    } else {
      const slopes = numbersOf(logits, targets)[`${button.dataset.step}Slope`];
      logits = logits.map((t, i) => Math.min(Math.max(t - slopes[i], -state.reach), state.reach));
    }
    update();
  });
  update();
});
