// Two columns at once: a figure and a count for each pair of values. A cell is a pick of its images.

const RUNS = -1; // rows are dumps
const MATRIX_SHOWS = { auroc: "AUROC", accuracy: "accuracy", tpr: "TPR", fpr: "FPR" };

/** Whether an image has a value of a column, or is a real one that such a value is compared with. */
const hasValue = (column, value, i) => column.codes[i] === value;
const comparedWith = (column, value, i) => hasValue(column, value, i) || (label[i] === 0 && column.against[value]);

PICKS.cell = ([rows, one, columns, two]) => {
  const a = D.slices[rows], b = D.slices[columns], [x, y] = [Number(one), Number(two)], runs = Number(rows) === RUNS;
  if (!b || !b.values[y] || (runs ? !D.dumps[x] : !a || !a.values[x])) return null;
  return {
    title: `${runs ? LETTERS[x] : a.values[x]}, ${b.values[y]}`, moves: false,
    test: (i) => (runs ? held(x, i) : hasValue(a, x, i)) && hasValue(b, y, i),
    beside: (i) => label[i] === 0 && (runs ? held(x, i) : comparedWith(a, x, i)) && comparedWith(b, y, i),
  };
};

/**
 * Counts and AUROC of one dump in each cell [a * columns + b]; without a column a there is one row. Real images that
 * several cells are compared with are counted once, in a set that these cells share.
 */
function cellsOf(d, a, b) {
  const wide = b.values.length, tall = a ? a.values.length : 1, codes = outcomes[d](), { ascending, sorted } = D.dumps[d];
  const anyA = a && a.against.includes(true), anyB = b.against.includes(true), sets = (x, y) => x * (wide + 1) + y;
  const setOf = Uint32Array.from({ length: tall * wide }, (_, c) => sets(a && a.against[Math.floor(c / wide)] ? tall : Math.floor(c / wide), b.against[c % wide] ? wide : c % wide));
  const cellOf = (i) => (a ? a.codes[i] : 0) * wide + b.codes[i], cells = () => new Float64Array(tall * wide), reals = () => new Uint32Array((tall + 1) * (wide + 1));
  const of = { images: cells(), hit: cells(), missed: cells(), above: cells(), passed: reals(), alarm: reals(), setOf };
  const below = reals(), tied = reals();
  const eachSet = (i, act) => {
    const x = a ? a.codes[i] : 0, y = b.codes[i];
    act(sets(x, y));
    if (anyA) act(sets(tall, y));
    if (anyB) act(sets(x, wide));
    if (anyA && anyB) act(sets(tall, wide));
  };
  for (let k = 0, next = 0; k < ascending.length; k = next) {
    for (next = k; next < ascending.length && sorted[next] === sorted[k]; next++) {
      const i = ascending[next], code = codes[i], cell = cellOf(i);
      of.images[cell]++;
      if (code === HIT) of.hit[cell]++; else if (code === MISSED) of.missed[cell]++;
      if (code === ALARM) eachSet(i, (set) => { of.alarm[set]++; tied[set]++; });
      if (code === PASSED) eachSet(i, (set) => { of.passed[set]++; tied[set]++; });
    }
    for (let j = k; j < next; j++) if (label[ascending[j]] === 1) { const cell = cellOf(ascending[j]), set = setOf[cell]; of.above[cell] += below[set] + tied[set] / 2; }
    for (let j = k; j < next; j++) if (label[ascending[j]] === 0) eachSet(ascending[j], (set) => { below[set] += tied[set]; tied[set] = 0; });
  }
  return of;
}

/** A figure of a cell; NaN where it is not defined. */
function figureOf({ hit, missed, passed, alarm, above, setOf }, cell, shows) {
  const set = setOf[cell], fakes = hit[cell] + missed[cell], real = passed[set] + alarm[set];
  if (shows === "auroc") return above[cell] / (fakes * real);
  if (shows === "accuracy") return (hit[cell] + passed[set]) / (fakes + real);
  return shows === "tpr" ? hit[cell] / fakes : alarm[set] / real;
}

/** Values in the order of AI-GenBench's windows where the dumps have them, real images first. */
function inTime(column) {
  const order = column.values.map((_, v) => v), window = (v) => D.windows[column.values[v]] || 0;
  return column.name === "generator" ? order.sort((v, w) => window(v) - window(w) || v - w) : order;
}

function drawMatrix() {
  const [rows, columns, shows] = state.matrix, a = D.slices[rows], b = D.slices[columns], runs = rows === RUNS, table = at("matrix-table");
  const lines = runs ? D.dumps.map((dump, d) => ({ name: `${LETTERS[d]} ${dump.name}`, value: d, d, at: 0, of: cellsOf(d, null, b) })) : (() => {
    const of = cellsOf(state.by, a, b);
    return inTime(a).map((v) => ({ name: a.values[v], value: v, d: state.by, at: v, of }));
  })();
  const order = inTime(b), answers = [a, b].some((column) => column && column.answers >= 0);
  table.replaceChildren();
  const head = table.createTHead().insertRow(), body = table.createTBody();
  head.append(element("td"), ...order.map((v) => {
    const th = element("th"), window = b.name === "generator" && D.windows[b.values[v]];
    th.scope = "col";
    th.title = b.values[v];
    th.append(element("bdi", "", b.values[v]));
    if (window) th.append(element("small", "", `window ${window}`));
    return th;
  }));
  for (const { name, value, d, at: y, of } of lines) {
    const line = body.insertRow(), th = element("th");
    th.scope = "row";
    th.title = name;
    th.append(element("bdi", "", name));
    line.append(th);
    for (const v of order) {
      const place = y * b.values.length + v, n = of.images[place], td = line.insertCell(), figure = figureOf(of, place, shows);
      if (runs && D.dumps[d].seen.includes(b.values[v])) td.className = "same";
      if (!n) continue;
      const address = `cell:${rows}:${value}:${columns}:${v}`, text = answers || !Number.isFinite(figure) ? "–" : figure.toFixed(3), button = element("button", "", text);
      button.type = "button";
      button.append(" ", element("small", "", n.toLocaleString("en")));
      button.setAttribute("aria-label", `${name}, ${b.values[v]}: ${MATRIX_SHOWS[shows]} ${text}, ${n} images`);
      button.dataset.cell = address;
      button.addEventListener("click", () => {
        if (runs) Object.assign(state, { by: d });
        pick(address);
        const again = table.querySelector(`button[data-cell="${address}"]`);
        if (again) again.focus({ preventScroll: true });
      });
      td.append(button);
    }
  }
  at("matrix-rows").value = rows;
  at("matrix-columns").value = columns;
  at("matrix-shows").value = shows;
}

/** Which cell is picked. */
function markCell() {
  for (const button of document.querySelectorAll("#matrix-table button")) button.setAttribute("aria-pressed", String(state.pick !== null && state.pick.address === button.dataset.cell));
}

const matrix = kept(() => [...state.matrix, state.by, ...state.t], () => { if (at("matrix")) drawMatrix(); });

if (at("matrix")) {
  const choose = (k, read) => (event) => { state.matrix = state.matrix.with(k, read(event.target.value)); everything(); remember(); };
  D.slices.forEach((column, c) => { for (const id of ["matrix-rows", "matrix-columns"]) at(id).append(new Option(column.name, c)); });
  if (D.dumps.length > 1) at("matrix-rows").prepend(new Option("dumps", RUNS));
  for (const [shows, name] of Object.entries(MATRIX_SHOWS)) at("matrix-shows").append(new Option(name, shows));
  at("matrix-rows").addEventListener("change", choose(0, Number));
  at("matrix-columns").addEventListener("change", choose(1, Number));
  at("matrix-shows").addEventListener("change", choose(2, String));
}
