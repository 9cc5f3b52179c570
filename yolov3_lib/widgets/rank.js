// A photograph at every rank: the page decomposes the photograph's pixels itself.

const ENOUGH = 1e-11;
const SWEEPS = 40;

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

// Turns two rows in their common plane.
function turn(a, b, c, s) {
  for (let i = 0; i < a.length; i++) {
    const [p, q] = [a[i], b[i]];
    a[i] = c * p - s * q;
    b[i] = s * p + c * q;
  }
}

// One-sided Jacobi (Hestenes 1958): rows are turned, two by two, until all are orthogonal. If R holds the turns and
// W what became of the rows, then A = R^T W, so that the i-th piece is the i-th row of R times that of W. Their
// lengths are the singular values.
function decompose(rows) {
  const turned = rows.map((row) => Float64Array.from(row));
  const turns = rows.map((_, i) => Float64Array.from(rows, (_, j) => (i === j ? 1 : 0)));
  let worst = 1;
  for (let sweep = 0; worst > ENOUGH && sweep < SWEEPS; sweep++) {
    worst = 0;
    for (let p = 0; p < rows.length; p++) {
      for (let q = p + 1; q < rows.length; q++) {
        const [alpha, beta, gamma] = [dot(turned[p], turned[p]), dot(turned[q], turned[q]), dot(turned[p], turned[q])];
        const cosine = Math.abs(gamma) / Math.sqrt(alpha * beta || 1);
        if (cosine <= ENOUGH) continue;
        worst = Math.max(worst, cosine);
        const zeta = (beta - alpha) / (2 * gamma);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const c = 1 / Math.sqrt(1 + t * t);
        turn(turned[p], turned[q], c, c * t);
        turn(turns[p], turns[q], c, c * t);
      }
    }
  }
  const pieces = turned.map((w, i) => ({ w, r: turns[i], value: Math.sqrt(dot(w, w)) }));
  return pieces.sort((one, other) => other.value - one.value);
}

// The channels of a photograph, each as its pieces; along the shorter side, where there is less to turn.
function piecesOf(image) {
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const sheet = document.createElement("canvas");
  setAttributes(sheet, { width, height });
  const context = sheet.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const upright = height <= width;
  const [m, n] = upright ? [height, width] : [width, height];
  const at = (i, j, channel) => data[4 * (upright ? i * width + j : j * width + i) + channel];
  const channels = [0, 1, 2].map((channel) =>
    decompose(Array.from({ length: m }, (_, i) => Array.from({ length: n }, (_, j) => at(i, j, channel)))),
  );
  return { channels, width, height, m, n, upright };
}

function approximate({ channels, m, n }, k) {
  return channels.map((pieces) => {
    const sum = new Float64Array(m * n);
    for (const { r, w } of pieces.slice(0, k)) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) sum[i * n + j] += r[i] * w[j];
      }
    }
    return sum;
  });
}

function readout({ channels, m, n }, sums, k) {
  const kept = k * (m + n + 1);
  const rest = channels.flatMap((pieces) => pieces.slice(k).map(({ value }) => value));
  const following = Math.max(...channels.map((pieces) => (k < m ? pieces[k].value : 0)));
  let outside = 0;
  for (const sum of sums) for (const value of sum) if (value < -0.5 || value >= 255.5) outside++;
  const error = Math.sqrt(dot(rest, rest) / (channels.length * m * n));
  return {
    error, k: String(k),
    said: {
      numbers: `${kept} of ${m * n} a channel`,
      share: `${fixed((100 * kept) / (m * n), 0)}%`,
      pays: kept < m * n ? "yes" : "no",
      error: fixed(error, 2),
      next: fixed(following, 1),
      outside: `${outside} of ${channels.length * m * n}`,
    },
  };
}

enliven("rank", (root, state) => {
  const find = (selector) => root.querySelector(selector);
  const original = find(".yv-original");
  const slider = find("input[type=range]");
  const output = find("output");
  const wrap = find("input[type=checkbox]");
  const say = announcer(root);
  const canvas = document.createElement("canvas");
  let photograph = null;

  function paintPixels(sums, { width, height, m, n, upright }) {
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        const pixel = 4 * (upright ? i * width + j : j * width + i);
        // A clamped array rounds and clips by itself.
        sums.forEach((sum, channel) => {
          const value = sum[i * n + j];
          picture.data[pixel + channel] = wrap.checked ? Math.trunc(value) & 255 : value;
        });
        picture.data[pixel + 3] = 255;
      }
    }
    context.putImageData(picture, 0, 0);
  }

  function paintMarker(k, error, largest) {
    const { width, height, left, right, top, bottom } = state.chart;
    const x = left + ((width - left - right) * (k - 1)) / Math.max(largest - 1, 1);
    const y = top + (height - top - bottom) * (1 - error / (state.top || 1));
    setAttributes(find(".yv-marker"), { cx: x.toFixed(2), cy: y.toFixed(2) });
  }

  function update() {
    if (!original.complete || !original.naturalWidth) return;
    if (!photograph) {
      photograph = piecesOf(original);
      setAttributes(canvas, { width: photograph.width, height: photograph.height, role: "img" });
      find(".yv-reduced").replaceWith(canvas);
    }
    const k = slider.valueAsNumber;
    const sums = approximate(photograph, k);
    const { error, said } = readout(photograph, sums, k);
    paintPixels(sums, photograph);
    paintMarker(k, error, photograph.m);
    for (const place of root.querySelectorAll("[data-out]")) place.textContent = said[place.dataset.out];
    output.textContent = String(k);
    canvas.nextElementSibling.textContent = `k = ${k}`;
    canvas.setAttribute("aria-label", `The photograph at rank ${k}${wrap.checked ? ", without clipping" : ""}`);
    for (const button of root.querySelectorAll("[data-k]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.k) === k));
    }
    root.dataset.ready = "";
    say(`Rank ${k}: ${said.share} of the numbers, error ${said.error} gray levels.`);
  }

  slider.addEventListener("input", update);
  wrap.addEventListener("input", update);
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-k]");
    if (!button) return;
    slider.value = button.dataset.k;
    update();
  });
});
