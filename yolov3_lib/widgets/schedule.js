// A schedule set up with sliders; the twin of schedule_figure.py.

const UNUSED = { step: ["final"], cosine: ["milestone"], constant: ["milestone", "final"] };

function rateAt(schedule, step, total) {
  const { kind, warmup, power, milestone, final } = schedule;
  if (step < warmup) return ((step + 1) / warmup) ** power;
  if (kind === "constant") return 1;
  if (kind === "step") {
    const first = milestone / total;
    return 0.1 ** [first, (first + 1) / 2].filter((share) => step >= share * total).length;
  }
  const progress = (step - warmup) / Math.max(1, total - warmup);
  const cosine = (1 + Math.cos(Math.PI * Math.min(progress, 1))) / 2;
  return final / 100 + (1 - final / 100) * cosine;
}

function measure(schedule, total) {
  const rates = Array.from({ length: total }, (_, step) => rateAt(schedule, step, total));
  const sum = (values) => values.reduce((all, value) => all + value, 0);
  const whole = sum(rates);
  const behind = sum(rates.slice(0, schedule.at + 1));
  const last = sum(rates.slice(total - total / 10));
  const said = {
    at: `step ${schedule.at} of ${total}`,
    rate: fixed(rates[schedule.at], 4),
    behind: `${fixed((100 * behind) / whole, 1)} %`,
    last: `${fixed((100 * last) / whole, 1)} %`,
    mean: fixed(whole / total, 3),
  };
  return { rates, said };
}

enliven("schedule", (root, state) => {
  const { total, every, lowest, frame } = state;
  const [left, right, top, bottom] = frame;
  const find = (selector) => root.querySelector(selector);
  const [svg, select, box] = [find("svg"), find("select"), find("input[type=checkbox]")];
  const sliders = [...root.querySelectorAll("input[type=range]")];
  let now = { ...state.schedule };
  const say = announcer(root);

  const x = (step) => left + ((right - left) * step) / total;
  const y = (rate) => {
    const height = now.log ? 1 - Math.log10(Math.max(rate, lowest)) / Math.log10(lowest) : rate;
    return bottom - (bottom - top) * height;
  };
  const line = (steps, rates) => steps.map((step) => `${number(x(step), 1)} ${number(y(rates[step]), 1)}`).join("L");

  function show() {
    const { rates, said } = measure(now, total);
    const steps = [];
    for (let step = 0; step < total; step += every) steps.push(step);
    find(".yv-curve").setAttribute("d", `M${line([...steps, total - 1], rates)}`);
    const until = [...steps.filter((step) => step < now.at), now.at];
    const at = number(x(now.at), 1);
    find(".yv-area").setAttribute("d", `M${number(x(0), 1)} ${bottom}L${line(until, rates)}L${at} ${bottom}Z`);
    find(".yv-cursor").setAttribute("d", `M${at} ${top}V${bottom}`);
    setAttributes(find(".yv-dot"), { cx: at, cy: number(y(rates[now.at]), 1) });
    for (const group of root.querySelectorAll(".yv-levels")) {
      group.style.display = Boolean(Number(group.dataset.log)) === now.log ? "" : "none";
    }
    for (const node of root.querySelectorAll("[data-out]")) node.textContent = said[node.dataset.out];
    for (const slider of sliders) {
      const { name } = slider.dataset;
      slider.value = now[name];
      slider.disabled = UNUSED[now.kind].includes(name);
      find(`[data-value=${name}]`).textContent = now[name];
    }
    [select.value, box.checked] = [now.kind, now.log];
    const words = `${said.at}: learning rate ${said.rate} of the highest, ${said.behind} of the way behind`;
    svg.setAttribute("aria-label", `Schedule ${now.kind}. ${words}.`);
    say(words);
  }

  root.addEventListener("input", (event) => {
    const { name } = event.target.dataset;
    if (name) now[name] = Number(event.target.value);
    else [now.kind, now.log] = [select.value, box.checked];
    show();
  });
  for (const button of root.querySelectorAll("[data-case]")) {
    button.addEventListener("click", () => {
      now = { ...state.cases[button.dataset.case], at: now.at, log: now.log };
      show();
    });
  }
  // A pointer in the drawing moves the cursor.
  svg.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse" && !event.buttons) return;
    const box = svg.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * 640 - left) / (right - left);
    if (share < 0 || share >= 1) return;
    now.at = Math.min(total - 1, Math.floor(share * total));
    show();
  });
  show();
});
