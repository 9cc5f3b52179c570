// Shared by every figure. No ids and no globals: the same figure may stand twice on a page.

const MINUS = "\u2212";

// Calls start(root, state) once for every figure of this kind that no script has enlivened yet.
function enliven(kind, start) {
  for (const root of document.querySelectorAll(`.yv-${kind}:not([data-alive])`)) {
    root.dataset.alive = "";
    root.hidden = false;
    keepKeys(root);
    start(root, JSON.parse(root.dataset.state));
  }
}

// A page may take a letter or an arrow for a command, as a notebook does. JupyterLab looks at keys before the figure
// does, and passes over an element that says so.
function keepKeys(root) {
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
}

// Numbers are written exactly as base.py writes them.
function fixed(value, digits = 3) {
  const size = Math.abs(value).toFixed(digits);
  return value < 0 && Number(size) !== 0 ? MINUS + size : size;
}

function number(value, digits = 2) {
  const written = fixed(value, digits);
  return written.includes(".") ? written.replace(/0+$/, "").replace(/\.$/, "") : written;
}

// Tells a screen reader what changed, once the changes have paused: a drag would flood it.
function announcer(root) {
  const status = root.querySelector("[role=status]");
  let timer = 0;
  return (message) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (status.textContent !== message) status.textContent = message;
    }, 600);
  };
}

function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}
