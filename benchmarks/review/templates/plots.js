// Plots as SVG text. Only numbers and escaped names enter it.

const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const fixed = (x, digits = 3) => (Number.isFinite(x) ? x.toFixed(digits) : "–");
const BOX = { left: 38, right: 332, top: 8, bottom: 268, width: 340, height: 306 };
const toX = (u) => BOX.left + u * (BOX.right - BOX.left);
const toY = (v) => BOX.bottom - v * (BOX.bottom - BOX.top);
const TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1].map((v) => [v, v === 0 || v === 1 ? String(v) : v.toFixed(1)]);

function frame(xTitle, yTitle, content, xTicks = TICKS, yTicks = TICKS) {
  const lines = xTicks.map(([u]) => `<line class="grid" x1="${toX(u)}" x2="${toX(u)}" y1="${BOX.top}" y2="${BOX.bottom}"/>`).join("")
    + yTicks.map(([v]) => `<line class="grid" x1="${BOX.left}" x2="${BOX.right}" y1="${toY(v)}" y2="${toY(v)}"/>`).join("");
  const texts = xTicks.map(([u, t]) => `<text x="${toX(u)}" y="${BOX.bottom + 15}" text-anchor="middle">${t}</text>`).join("")
    + yTicks.map(([v, t]) => `<text x="${BOX.left - 6}" y="${toY(v) + 4}" text-anchor="end">${t}</text>`).join("");
  return `<svg viewBox="0 0 ${BOX.width} ${BOX.height}" role="img" aria-label="${xTitle} against ${yTitle}">${lines}`
    + `<rect class="frame" x="${BOX.left}" y="${BOX.top}" width="${BOX.right - BOX.left}" height="${BOX.bottom - BOX.top}"/>${content}${texts}`
    + `<text x="${toX(0.5)}" y="${BOX.height - 6}" text-anchor="middle">${xTitle}</text>`
    + `<text transform="translate(9 ${toY(0.5)}) rotate(-90)" text-anchor="middle">${yTitle}</text></svg>`;
}

/** A path through n points in 0..1, without those that would fall on the same tenth of a pixel. */
function path(n, pointOf, d) {
  const parts = [];
  let lastX = NaN, lastY = NaN;
  for (let k = 0; k < n; k++) {
    const [u, v] = pointOf(k);
    if (!Number.isFinite(u) || !Number.isFinite(v)) continue;
    const x = Math.round(toX(u) * 10), y = Math.round(toY(v) * 10);
    if (x === lastX && y === lastY) continue;
    parts.push(`${x / 10} ${y / 10}`);
    lastX = x; lastY = y;
  }
  return `<path class="curve k${d % 4}" d="${parts.length ? "M" : ""}${parts.join("L")}"/>`;
}

/** Key and figure of each dump, above the plot where no curve can run through it. */
const legend = (figures) => `<p class="legend">${figures.map(([d, text]) => `<span><i class="key k${d % 4}">${D.dumps.length > 1 ? LETTERS[d] : ""}</i> ${text}</span>`).join("")}</p>`;

const LOW = 1e-3;
const rocX = (fpr) => (state.log ? clamp(1 - Math.log10(Math.max(fpr, LOW)) / Math.log10(LOW), 0, 1) : fpr);

function drawRoc(sets) {
  let content = state.log ? "" : `<line class="diagonal" x1="${toX(0)}" y1="${toY(0)}" x2="${toX(1)}" y2="${toY(1)}"/>`;
  const lines = [];
  sets.forEach(({ points, drawn, real, fake }, d) => {
    content += path(drawn.length, (k) => [rocX(points.f[drawn[k]] / real.length), points.t[drawn[k]] / fake.length], d);
    lines.push([d, `AUROC ${fixed(auroc(points), 4)}`]);
  });
  const ticks = state.log ? [[0, "0.001"], [1 / 3, "0.01"], [2 / 3, "0.1"], [1, "1"]] : TICKS;
  document.getElementById("roc").innerHTML = legend(lines) + frame("false positive rate", "true positive rate", content + peoplePoints("fpr", "tpr", rocX) + marks("roc"), ticks);
}

function drawPr(sets) {
  let content = "";
  const lines = [];
  sets.forEach(({ points: { f, t }, drawn, real, fake }, d) => {
    const share = fake.length / (fake.length + real.length), precision = (k) => t[drawn[k]] / (t[drawn[k]] + f[drawn[k]]);
    // steps: to each precision at the recall before, then along to its own recall
    content += path(2 * (drawn.length - 1), (k) => [t[drawn[(k + 1) >> 1]] / fake.length, precision((k >> 1) + 1)], d);
    if (d === 0 && Number.isFinite(share)) content += `<line class="diagonal" x1="${toX(0)}" x2="${toX(1)}" y1="${toY(share)}" y2="${toY(share)}"/>`;
    lines.push([d, `AP ${fixed(averagePrecision({ f, t }), 4)}`]);
  });
  document.getElementById("pr").innerHTML = legend(lines) + frame("recall", "precision", content + peoplePoints("recall", "precision") + marks("pr"));
}

const marks = (kind) => D.dumps.map((_, d) => `<circle class="mark k${d % 4}" id="${kind}-mark-${d}" r="5"/>`).join("");

/** Lowest and highest of the finite values of a column. */
function extent(column) {
  let low = Infinity, high = -Infinity;
  for (const dump of D.dumps) for (const x of dump[column]) if (Number.isFinite(x)) { low = Math.min(low, x); high = Math.max(high, x); }
  return [low, high];
}

/** A round step that divides a span into at most `most` parts. */
const stepOf = (span, most) => {
  const power = 10 ** Math.floor(Math.log10(span / most));
  return [1, 2, 5, 10].map((s) => s * power).find((s) => span / s <= most + 1e-9);
};

/** Around values that fill little of the usual range: their own, to whole steps, with a threshold that is near them. */
function narrowed([low, high], thresholds, usual) {
  const span = Math.max(high - low, (usual[1] - usual[0]) * 1e-4);
  if (!(span < (usual[1] - usual[0]) / 4)) return usual;
  for (const t of thresholds) if (t > low - span && t < high + span) { low = Math.min(low, t); high = Math.max(high, t); }
  const step = stepOf(Math.max(high - low, span), 6);
  return [Math.max(Math.floor(low / step) * step, usual[0]), Math.min(Math.ceil(high / step + 1e-9) * step, usual[1])];
}

const THRESHOLDS = [0.5, ...D.dumps.map((dump) => dump.chosen).filter((t) => t !== null)];
/** Ranges of the two score axes: the scores and logits that occur. */
const SCORES = narrowed(extent("score"), THRESHOLDS, [0, 1]);
const RANGE = (() => {
  const [low, high] = extent("logit");
  if (!Number.isFinite(low)) return [-2, 2];
  if (SCORES[0] > 0 || SCORES[1] < 1) return narrowed([Math.max(low, -15), Math.min(high, 15)], THRESHOLDS.map(logit), [-15, 15]);
  return [Math.max(Math.floor(Math.min(low, -2)), -15), Math.min(Math.ceil(Math.max(high, 2)), 15)];
})();
const within = (x, [low, high]) => clamp((x - low) / (high - low), 0, 1);
const toAxis = (score, x) => (state.axis === "score" ? within(score, SCORES) : within(x, RANGE));
const between = (u, [low, high]) => low + u * (high - low);
const fromAxis = (u) => (state.axis === "score" ? between(u, SCORES) : sigmoid(between(u, RANGE)));
const thresholdOnAxis = (d) => toAxis(clamp(state.t[d], 0, 1), logit(clamp(state.t[d], 0, 1)));

/** Places in 0..1 and texts of the round values of a range. */
function ticksOf([low, high], most) {
  const step = stepOf(high - low, most), digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), ticks = [];
  for (let k = Math.ceil(low / step - 1e-6); k * step <= high + step * 1e-6; k++) ticks.push([within(k * step, [low, high]), (k * step).toFixed(digits)]);
  return ticks;
}
const SCORE_TICKS = SCORES[0] === 0 && SCORES[1] === 1 ? TICKS : ticksOf(SCORES, 7);
const LOGIT_TICKS = ticksOf(RANGE, 8);

function drawReliability(sets) {
  let content = `<line class="diagonal" x1="${toX(0)}" y1="${toY(SCORES[0])}" x2="${toX(1)}" y2="${toY(SCORES[1])}"/>`;
  const lines = [];
  sets.forEach((set, d) => {
    const bins = reliability(set), total = set.real.length + set.fake.length;
    for (const b of bins) {
      const [low, high] = wilson(b.share, b.n);
      content += `<line class="bars k${d % 4}" opacity=".35" x1="${toX(within(b.score, SCORES))}" x2="${toX(within(b.score, SCORES))}" y1="${toY(low)}" y2="${toY(high)}"/>`;
    }
    content += path(bins.length, (k) => [within(bins[k].score, SCORES), bins[k].share], d);
    for (const b of bins) content += `<circle class="k${d % 4}" cx="${toX(within(b.score, SCORES))}" cy="${toY(b.share)}" r="2.6"><title>${b.n} images: score ${fixed(b.score, SCORES[1] - SCORES[0] < 0.1 ? 5 : 3)}, generated ${fixed(b.share)}</title></circle>`;
    lines.push([d, `ECE ${fixed(bins.length === 0 ? NaN : bins.reduce((s, b) => s + (b.n * Math.abs(b.score - b.share)) / total, 0), 4)}`]);
  });
  document.getElementById("reliability").innerHTML = legend(lines) + frame("mean score", "share generated", content, SCORE_TICKS);
}

const BINS = 60;
/** Rows of the table: real images, each generator, images of unknown label. */
const ROWS = (() => {
  const made = new Set(), rows = [];
  for (let i = 0; i < N; i++) if (label[i] === 1) made.add(generator[i]);
  if (label.includes(0)) rows.push({ name: D.negative, kind: "real", index: -1 });
  D.generators.forEach((name, g) => { if (made.has(g)) rows.push({ name: name || "(unnamed)", kind: "fake", index: g }); });
  if (label.includes(-1)) rows.push({ name: "unknown label", kind: "unknown", index: -1 });
  return rows;
})();
/** The row of each image. */
const rowOf = (() => {
  const kinds = { 0: ROWS.findIndex((r) => r.kind === "real"), "-1": ROWS.findIndex((r) => r.kind === "unknown") };
  const places = new Int32Array(D.generators.length);
  ROWS.forEach((r, k) => { if (r.kind === "fake") places[r.index] = k; });
  return Int32Array.from(label, (y, i) => (y === 1 ? places[generator[i]] : kinds[y]));
})();
const UNBINNED = 255;
/** The bin of every image on each axis, for each dump. */
const binned = { score: [], logit: [] };
function binsOf(d, axis) {
  if (binned[axis][d]) return binned[axis][d];
  const bins = new Uint8Array(N).fill(UNBINNED), x = D.dumps[d][axis], { score } = D.dumps[d], range = axis === "score" ? SCORES : RANGE;
  for (let i = 0; i < N; i++) if (!Number.isNaN(score[i])) bins[i] = Math.min(Math.floor(within(x[i], range) * BINS), BINS - 1);
  return (binned[axis][d] = bins);
}

/** Scored images in each row of the table, for each dump. */
let scored = [];

function drawHistograms() {
  const table = document.getElementById("histograms"), has = among();
  const head = `<thead><tr><th class="who">images of</th><th class="n">images</th>${D.dumps.map((_, d) => `<th>${D.dumps.length > 1 ? `<i class="key k${d % 4}">${LETTERS[d]}</i> ` : ""}scores</th><th class="rate">called gen.</th>`).join("")}</tr></thead>`;
  const images = new Uint32Array(ROWS.length), all = D.dumps.map(() => new Uint32Array(ROWS.length * BINS));
  for (let i = 0; i < N; i++) if (has[i]) images[rowOf[i]]++;
  D.dumps.forEach((_, d) => {
    const bins = binsOf(d, state.axis), counts = all[d];
    for (let i = 0; i < N; i++) if (has[i] && bins[i] !== UNBINNED) counts[rowOf[i] * BINS + bins[i]]++;
  });
  scored = all.map((counts) => ROWS.map((_, k) => counts.subarray(k * BINS, (k + 1) * BINS).reduce((a, b) => a + b, 0)));
  const body = ROWS.map((r, k) => {
    const cells = D.dumps.map((dump, d) => {
      const bins = Array.from(all[d].subarray(k * BINS, (k + 1) * BINS));
      const most = Math.max(...bins, 1);
      const bars = bins.map((n, b) => (n ? `<rect class="bar-${r.kind}" x="${((b * 600) / BINS).toFixed(1)}" width="${600 / BINS - 1}" y="${(25 - (23 * n) / most).toFixed(1)}" height="${((23 * n) / most).toFixed(1)}"/>` : "")).join("");
      return `<td><svg viewBox="0 0 600 26" preserveAspectRatio="none"><line class="frame" x1="0" x2="600" y1="25.5" y2="25.5"/>${bars}<line class="threshold t${d}" y1="0" y2="26" vector-effect="non-scaling-stroke"/></svg></td><td class="rate" id="rate-${k}-${d}"></td>`;
    }).join("");
    const off = r.kind === "fake" && state.generator >= 0 && r.index !== state.generator;
    const name = r.kind === "fake" ? `<button type="button" class="${r.index === state.generator ? "on" : ""}" data-index="${r.index}"><bdi>${escaped(r.name)}</bdi></button>` : `<span class="${r.kind}-text">${r.name}</span>`;
    return `<tr class="${off ? "off" : ""}"><td class="who">${name}</td><td class="n">${images[k]}</td>${cells}</tr>`;
  }).join("");
  const ticks = state.axis === "score" ? SCORE_TICKS : LOGIT_TICKS;
  const side = (u) => (u === 0 ? "start" : u === 1 ? "end" : "middle");
  const texts = ticks.map(([u, t]) => `<text x="${u * 100}%" y="11" text-anchor="${side(u)}">${t}</text>`).join("");
  const scale = `<td><svg class="ticks" aria-hidden="true">${texts}</svg></td><td></td>`;
  table.innerHTML = `${head}<tbody>${body}</tbody><tfoot><tr><td></td><td></td>${D.dumps.map(() => scale).join("")}</tr></tfoot>`;
}

/** Moves what depends on the thresholds only. */
function moveThresholds(sets) {
  sets.forEach((set, d) => {
    const c = confusion(set, state.t[d]), tpr = c.tp / (c.tp + c.fn), fpr = c.fp / (c.fp + c.tn);
    const put = (mark, u, v) => {
      const ok = Number.isFinite(u) && Number.isFinite(v);
      mark.setAttribute("visibility", ok ? "visible" : "hidden");
      if (ok) { mark.setAttribute("cx", toX(u)); mark.setAttribute("cy", toY(v)); }
    };
    put(document.getElementById(`roc-mark-${d}`), rocX(fpr), tpr);
    put(document.getElementById(`pr-mark-${d}`), tpr, c.tp / (c.tp + c.fp));
    for (const line of document.querySelectorAll(`#histograms .t${d}`)) {
      line.setAttribute("x1", thresholdOnAxis(d) * 600);
      line.setAttribute("x2", thresholdOnAxis(d) * 600);
    }
    const { score } = D.dumps[d], above = new Uint32Array(ROWS.length), has = among(), t = state.t[d];
    for (let i = 0; i < N; i++) if (has[i] && score[i] > t) above[rowOf[i]]++;
    ROWS.forEach((r, k) => { document.getElementById(`rate-${k}-${d}`).textContent = scored[d][k] ? `${((100 * above[k]) / scored[d][k]).toFixed(1)} %` : "–"; });
    const values = {
      tp: c.tp, fn: c.fn, fp: c.fp, tn: c.tn, tpr: fixed(tpr), fpr: fixed(fpr), precision: fixed(c.tp / (c.tp + c.fp)),
      accuracy: fixed((c.tp + c.tn) / (c.tp + c.tn + c.fp + c.fn)), balanced: fixed((tpr + 1 - fpr) / 2),
    };
    for (const [name, value] of Object.entries(values)) document.getElementById(`${name}-${d}`).textContent = value;
  });
}
