// One frame at a time: buttons, or the slider with its own arrow keys.

enliven("stepper", (root) => {
  const frames = [...root.querySelectorAll(".yv-frame")];
  const [back, next] = root.querySelectorAll("button");
  const slider = root.querySelector("input");
  const output = root.querySelector("output");
  const say = announcer(root);

  function show(index) {
    frames.forEach((frame, i) => frame.toggleAttribute("data-current", i === index));
    slider.value = index + 1;
    slider.setAttribute("aria-valuetext", `Step ${index + 1} of ${frames.length}`);
    output.textContent = `${index + 1} / ${frames.length}`;
    // A disabled button would lose the focus that walks through the steps.
    back.setAttribute("aria-disabled", index === 0);
    next.setAttribute("aria-disabled", index === frames.length - 1);
  }

  function go(index) {
    if (index < 0 || index >= frames.length) return;
    show(index);
    say(`Step ${index + 1} of ${frames.length}. ${frames[index].querySelector("p").textContent}`);
  }

  back.addEventListener("click", () => go(Number(slider.value) - 2));
  next.addEventListener("click", () => go(Number(slider.value)));
  slider.addEventListener("input", () => go(Number(slider.value) - 1));
  show(0);
});
