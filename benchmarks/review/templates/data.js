// Columns and exact counts. Scores are float32 widened to double, as in the tables; "generated" is score > threshold.

const at = (id) => document.getElementById(id);
const D = JSON.parse(document.getElementById("data").textContent);

/** The columns that D refers to: gzip in base64. A module may wait for them before anything else runs. */
const BYTES = await (async () => {
  const text = atob(document.getElementById("columns").textContent), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
})();
document.getElementById("columns").remove();
const KINDS = { i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array };

/** A typed array, or a list of strings, of {kind, at, size}; see packing.py. */
function unpacked({ kind, at, size }) {
  if (kind === "json") return JSON.parse(new TextDecoder().decode(new Uint8Array(BYTES, at, size)));
  return new KINDS[kind](BYTES, at, size / KINDS[kind].BYTES_PER_ELEMENT);
}

/** The value of each image in a column of a dump: a number, a text, or null where there is none. */
function valuesOf({ values, codes, numbers, known }) {
  const texts = values && unpacked(values), each = unpacked(codes || numbers), has = known && unpacked(known);
  return (i) => (has && !has[i] ? null : texts ? texts[each[i]] : each[i]);
}

D.ids = unpacked(D.ids);
const N = D.ids.length;
const label = unpacked(D.label), row = unpacked(D.row);
const generator = unpacked(D.generator.codes), source = unpacked(D.source.codes), group = unpacked(D.group.codes), place = unpacked(D.place.codes);
D.generators = unpacked(D.generator.values);
D.sources = unpacked(D.source.values);
D.groups = unpacked(D.group.values);
D.places = unpacked(D.place.values);
for (const dump of D.dumps) {
  dump.score = unpacked(dump.score);
  dump.logit = unpacked(dump.logit);
  for (const [name, column] of Object.entries(dump.extra)) dump.extra[name] = valuesOf(column);
  if (!dump.crops) continue;
  const start = valuesOf(dump.crops.start), number = valuesOf(dump.crops.count), scores = unpacked(dump.crops.scores);
  dump.crops = (i) => (number(i) > 1 ? Array.from(scores.subarray(start(i), start(i) + number(i))) : null);
}
for (const column of D.slices) column.codes = unpacked(column.codes);
const LETTERS = D.dumps.map((_, d) => String.fromCharCode(65 + (d % 26)));

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const logit = (p) => Math.log(p) - Math.log1p(-p);
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const held = (d, i) => !Number.isNaN(D.dumps[d].score[i]);
const called = (d, i) => D.dumps[d].score[i] > state.t[d];
const right = (d, i) => called(d, i) === (label[i] === 1);
/** Distance from the threshold in logits; finite even where a score is saturated. */
const margin = (d, i) => clamp(D.dumps[d].logit[i], -1e3, 1e3) - clamp(logit(clamp(state.t[d], 0, 1)), -1e3, 1e3);

/** What the reader has chosen; kept in the address, so that a view can be linked to. */
const state = {
  t: D.dumps.map((dump) => (dump.chosen === null ? 0.5 : dump.chosen)),
  generator: -1, source: -1, label: null, marked: "", column: 0, value: -1, pick: null, pair: [0, 1], axis: "score", log: false, order: "wrong", by: 0, zoom: 1, pixels: true, open: -1,
};

const inPick = (i) => state.pick === null || state.pick.mask[i] === 1;
const inSlice = (i) => inPick(i) && (state.value < 0 || D.slices[state.column].codes[i] === state.value);
/** Generated values of a column that parts the classes are compared with all real images, as in the table of slices. */
const besideSlice = (i) => inSlice(i) || (inPick(i) && label[i] === 0 && state.value >= 0 && D.slices[state.column].against[state.value]);

/** Sorted scores of the real and generated images that pass the filter. One generator is compared with all real images. */
function scores(d, name = state.generator) {
  const real = [], fake = [];
  for (let i = 0; i < N; i++) {
    if (!held(d, i) || !besideSlice(i) || (state.source >= 0 && source[i] !== state.source)) continue;
    if (label[i] === 0) real.push(D.dumps[d].score[i]);
    else if (label[i] === 1 && (name < 0 || generator[i] === name)) fake.push(D.dumps[d].score[i]);
  }
  return { real: Float64Array.from(real).sort(), fake: Float64Array.from(fake).sort() };
}

/** Number of sorted values above t. */
function above(sorted, t) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] > t) high = middle; else low = middle + 1;
  }
  return sorted.length - low;
}

function confusion({ real, fake }, t) {
  const tp = above(fake, t), fp = above(real, t);
  return { tp, fp, fn: fake.length - tp, tn: real.length - fp };
}

/** Cumulative [false positives, true positives] at every distinct score, from the highest down, after [0, 0]. */
function sweep({ real, fake }) {
  const points = [[0, 0]];
  let i = real.length - 1, j = fake.length - 1;
  while (i >= 0 || j >= 0) {
    const score = Math.max(i >= 0 ? real[i] : -1, j >= 0 ? fake[j] : -1);
    while (i >= 0 && real[i] === score) i--;
    while (j >= 0 && fake[j] === score) j--;
    points.push([real.length - 1 - i, fake.length - 1 - j]);
  }
  return points;
}

function auroc(points) {
  const [negatives, positives] = points[points.length - 1];
  let area = 0;
  for (let k = 1; k < points.length; k++) area += (points[k][0] - points[k - 1][0]) * (points[k][1] + points[k - 1][1]);
  return area / (2 * negatives * positives);
}

function averagePrecision(points) {
  const positives = points[points.length - 1][1];
  let sum = 0;
  for (let k = 1; k < points.length; k++) sum += ((points[k][1] - points[k - 1][1]) * points[k][1]) / (points[k][0] + points[k][1]);
  return sum / positives;
}

/** Bins of equal mass; equal scores share a bin. */
function reliability({ real, fake }, bins = 15) {
  const all = [...Array.from(real, (s) => [s, 0]), ...Array.from(fake, (s) => [s, 1])].sort((a, b) => a[0] - b[0]);
  const found = new Map();
  for (let begin = 0; begin < all.length; ) {
    let end = begin;
    while (end < all.length && all[end][0] === all[begin][0]) end++;
    const bin = Math.min(Math.floor((((begin + end) / 2) * bins) / all.length), bins - 1);
    const b = found.get(bin) || { n: 0, score: 0, fakes: 0 };
    for (; begin < end; begin++) { b.n++; b.score += all[begin][0]; b.fakes += all[begin][1]; }
    found.set(bin, b);
  }
  return [...found.values()].map((b) => ({ n: b.n, score: b.score / b.n, share: b.fakes / b.n }));
}

/** Wilson's 95 % interval of a share. */
function wilson(share, n) {
  const z = 1.959964, centre = (share + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
