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
const cuts = D.dumps.map(() => [NaN, NaN]);
/** The threshold of a dump in logits. */
function cut(d) {
  if (cuts[d][0] !== state.t[d]) cuts[d] = [state.t[d], clamp(logit(clamp(state.t[d], 0, 1)), -1e3, 1e3)];
  return cuts[d][1];
}
/** Distance from the threshold in logits; finite even where a score is saturated. */
const margin = (d, i) => clamp(D.dumps[d].logit[i], -1e3, 1e3) - cut(d);

/** Images from the lowest key to the highest, equal keys in the order given; keys are compared as float32. */
function sortedBy(images, key) {
  const float = new Float32Array(1), bits = new Uint32Array(float.buffer), size = images.length;
  let from = images, keys = new Uint32Array(size);
  for (let k = 0; k < size; k++) {
    float[0] = key(images[k]) + 0;
    keys[k] = bits[0] >>> 31 ? ~bits[0] : bits[0] | 0x80000000; // 32 bits that order as the float does
  }
  // a radix sort by 16 bits at a time: a tenth of the time of comparing a million keys
  for (const shift of [0, 16]) {
    const places = new Uint32Array(65537), to = new Uint32Array(size), moved = new Uint32Array(size);
    for (let k = 0; k < size; k++) places[((keys[k] >>> shift) & 0xffff) + 1]++;
    for (let bin = 0; bin < 65536; bin++) places[bin + 1] += places[bin];
    for (let k = 0; k < size; k++) {
      const place = places[(keys[k] >>> shift) & 0xffff]++;
      to[place] = from[k];
      moved[place] = keys[k];
    }
    from = to;
    keys = moved;
  }
  return from;
}

/** The images that pass a test. */
function those(test) {
  const found = new Uint32Array(N);
  let n = 0;
  for (let i = 0; i < N; i++) if (test(i)) found[n++] = i;
  return found.subarray(0, n);
}

/** What the reader has chosen; kept in the address, so that a view can be linked to. */
const state = {
  t: D.dumps.map((dump) => (dump.chosen === null ? 0.5 : dump.chosen)),
  generator: -1, source: -1, label: null, marked: "", column: 0, value: -1, pick: null, matrix: [D.dumps.length > 1 ? -1 : 0, D.dumps.length > 1 ? 0 : 1, "auroc"], pair: [0, 1], axis: "score", log: false, order: "wrong", by: 0, zoom: 1, pixels: true, open: -1,
};

/** A function of no argument whose result is kept until what it depends on, a list of values, has changed. */
function kept(dependsOn, make) {
  let before = null, result;
  return () => {
    const now = dependsOn();
    if (before === null || now.some((value, k) => value !== before[k])) [before, result] = [now, make()];
    return result;
  };
}

/**
 * 2 of each image that passes the filters of source and slice, else 0; 1 of a real one that is only compared with those:
 * generated values of a column that parts the classes are compared with all real images, as in the table of slices.
 */
const sliced = kept(() => [state.source, state.value < 0 ? -1 : state.column, state.value], () => {
  const found = new Uint8Array(N), { source: only, value } = state, { codes, against } = value < 0 ? {} : D.slices[state.column];
  for (let i = 0; i < N; i++) {
    if (only >= 0 && source[i] !== only) continue;
    found[i] = !codes || codes[i] === value ? 2 : label[i] === 0 && against[value] ? 1 : 0;
  }
  return found;
});

/** The same with the pick. */
const among = kept(() => [sliced(), state.pick], () => (state.pick ? sliced().map((value, i) => Math.min(value, state.pick.mask[i])) : sliced()));

/** What a dump makes of an image at its threshold. */
const UNSCORED = 0, HIT = 1, MISSED = 2, ALARM = 3, PASSED = 4, CALLED = 5, UNCALLED = 6;
/** For each dump, one of these for every image. */
const outcomes = D.dumps.map(({ score }, d) => kept(() => [state.t[d]], () => {
  const found = new Uint8Array(N), t = state.t[d];
  for (let i = 0; i < N; i++) {
    const x = score[i], y = label[i];
    found[i] = x > t ? (y === 1 ? HIT : y === 0 ? ALARM : CALLED) : x <= t ? (y === 1 ? MISSED : y === 0 ? PASSED : UNCALLED) : UNSCORED;
  }
  return found;
}));

for (const [d, dump] of D.dumps.entries()) {
  dump.ascending = sortedBy(those((i) => held(d, i)), (i) => dump.score[i]);
  dump.sorted = Float64Array.from(dump.ascending, (i) => dump.score[i]);
}

/** 1 of a real image that passes the filter, 2 of a generated one, else 0. One generator is compared with all real images. */
function kindsNow() {
  const kinds = new Uint8Array(N), has = among(), only = state.generator;
  for (let i = 0; i < N; i++) if (has[i]) kinds[i] = label[i] === 0 ? 1 : label[i] === 1 && (only < 0 || generator[i] === only) ? 2 : 0;
  return kinds;
}

/** Sorted scores of the real and generated images of a dump. */
function scores(d, kinds) {
  const { sorted, ascending } = D.dumps[d], real = new Float64Array(sorted.length), fake = new Float64Array(sorted.length);
  let reals = 0, fakes = 0;
  for (let k = 0; k < sorted.length; k++) {
    const kind = kinds[ascending[k]];
    if (kind === 1) real[reals++] = sorted[k]; else if (kind === 2) fake[fakes++] = sorted[k];
  }
  const set = { real: real.subarray(0, reals), fake: fake.subarray(0, fakes) };
  set.points = sweep(set);
  set.drawn = thinned(set.points);
  return set;
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

/** Cumulative counts of false and true positives at every distinct score, from the highest down, after 0 and 0. */
function sweep({ real, fake }) {
  const f = new Uint32Array(real.length + fake.length + 1), t = new Uint32Array(f.length);
  let i = real.length - 1, j = fake.length - 1, size = 1;
  while (i >= 0 || j >= 0) {
    const score = Math.max(i >= 0 ? real[i] : -1, j >= 0 ? fake[j] : -1);
    while (i >= 0 && real[i] === score) i--;
    while (j >= 0 && fake[j] === score) j--;
    f[size] = real.length - 1 - i;
    t[size++] = fake.length - 1 - j;
  }
  return { f: f.subarray(0, size), t: t.subarray(0, size) };
}

const MANY = 6000, GRID = 3000;
/** Places of the points to draw: all, or of very many those that differ by a tenth of a pixel, on a logarithmic axis too. */
function thinned({ f, t }) {
  if (f.length <= MANY) return Uint32Array.from(f, (_, k) => k);
  const F = f.at(-1) || 1, T = t.at(-1) || 1, kept = new Uint32Array(f.length);
  let n = 0, lastF = -1, lastT = -1;
  for (let k = 0; k < f.length; k++) {
    const cellF = Math.floor((f[k] * GRID * (f[k] < F / 50 ? 50 : 1)) / F), cellT = Math.floor((t[k] * GRID) / T);
    if (k > GRID / 10 && k < f.length - 1 && cellF === lastF && cellT === lastT) continue;
    kept[n++] = k;
    lastF = cellF; lastT = cellT;
  }
  return kept.subarray(0, n);
}

function auroc({ f, t }) {
  let area = 0;
  for (let k = 1; k < f.length; k++) area += (f[k] - f[k - 1]) * (t[k] + t[k - 1]);
  return area / (2 * f.at(-1) * t.at(-1));
}

function averagePrecision({ f, t }) {
  let sum = 0;
  for (let k = 1; k < f.length; k++) sum += ((t[k] - t[k - 1]) * t[k]) / (f[k] + t[k]);
  return sum / t.at(-1);
}

/** Bins of equal mass; equal scores share a bin. */
function reliability({ real, fake }, bins = 15) {
  const total = real.length + fake.length, found = new Map();
  let i = 0, j = 0;
  while (i < real.length || j < fake.length) {
    const begin = i + j, fakes = j, score = Math.min(i < real.length ? real[i] : 2, j < fake.length ? fake[j] : 2);
    while (i < real.length && real[i] === score) i++;
    while (j < fake.length && fake[j] === score) j++;
    const bin = Math.min(Math.floor((((begin + i + j) / 2) * bins) / total), bins - 1);
    const b = found.get(bin) || { n: 0, score: 0, fakes: 0 };
    b.n += i + j - begin;
    b.score += score * (i + j - begin);
    b.fakes += j - fakes;
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
