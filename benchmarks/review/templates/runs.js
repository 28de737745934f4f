// Runs side by side: a pair of dumps with its flips and a paired test, the scores of both, and the votes of all.

const both = (i) => held(state.pair[0], i) && held(state.pair[1], i);
const flipped = (i) => both(i) && called(state.pair[0], i) !== called(state.pair[1], i);
const apart = (i) => (both(i) ? Math.abs(margin(state.pair[0], i) - margin(state.pair[1], i)) : -1);
const EVERY = D.dumps.map((_, d) => d);

/** Between the highest and the lowest logit of an image, each from its dump's threshold. */
function spread(i) {
  const margins = EVERY.filter((d) => held(d, i)).map((d) => margin(d, i));
  return margins.length > 1 ? Math.max(...margins) - Math.min(...margins) : -1;
}

/** Two-sided p of McNemar's exact test: twice the binomial tail of the rarer of both kinds of flip, at most 1. */
function mcnemar(lost, gained) {
  const n = lost + gained;
  let term = -n * Math.LN2, tail = term;
  for (let k = 1; k <= Math.min(lost, gained); k++) {
    term += Math.log(n - k + 1) - Math.log(k);
    tail = Math.max(tail, term) + Math.log1p(Math.exp(-Math.abs(tail - term)));
  }
  return n ? Math.min(1, 2 * Math.exp(tail)) : 1;
}

const rightness = (is) => (is ? "right" : "wrong");
PICKS.pair = ([a, b, one, two]) => (D.dumps[a] && D.dumps[b] ? {
  title: `${LETTERS[a]} ${rightness(+one)}, ${LETTERS[b]} ${rightness(+two)}`, moves: true,
  test: (i) => label[i] >= 0 && held(a, i) && held(b, i) && right(a, i) === (one === "1") && right(b, i) === (two === "1"),
} : null);

const votesFor = (i) => EVERY.reduce((sum, d) => sum + (called(d, i) ? 1 : 0), 0);
const heldByAll = (i) => EVERY.every((d) => held(d, i));
const kindName = (kind) => (kind === 1 ? "generated" : kind === 0 ? D.negative : "unknown label");
PICKS.votes = ([votes, kind]) => ({
  title: `${votes} of ${D.dumps.length} call it generated; ${kindName(Number(kind))}`, moves: true,
  test: (i) => label[i] === Number(kind) && heldByAll(i) && votesFor(i) === Number(votes),
});

/** Places of an image in the plot of a pair, 0 to 1 on the axis of scores or logits. */
const onAxis = (axis, d, i) => (axis === "score" ? within(D.dumps[d].score[i], SCORES) : within(D.dumps[d].logit[i], RANGE));

/** Whether a point is inside a polygon [x, y, x, y, …]: even-odd rule. */
function inside(x, y, corners) {
  let is = false;
  for (let k = 0, j = corners.length - 2; k < corners.length; j = k, k += 2) {
    const above = corners[k + 1] > y;
    if (above !== corners[j + 1] > y && x < ((corners[j] - corners[k]) * (y - corners[k + 1])) / (corners[j + 1] - corners[k + 1]) + corners[k]) is = !is;
  }
  return is;
}

PICKS.loop = ([a, b, axis, text]) => {
  const corners = (text || "").split(",").map(Number);
  if (!D.dumps[a] || !D.dumps[b] || !["score", "logit"].includes(axis) || corners.length < 6 || !corners.every(Number.isFinite)) return null;
  return {
    title: `loop in ${LETTERS[a]} against ${LETTERS[b]}`, moves: false,
    test: (i) => held(a, i) && held(b, i) && inside(onAxis(axis, a, i), onAxis(axis, b, i), corners),
  };
};

function drawFourfold(chosen) {
  const [a, b] = state.pair, n = [[0, 0], [0, 0]], table = at("fourfold");
  for (const i of chosen) if (label[i] >= 0) n[+right(a, i)][+right(b, i)]++;
  table.replaceChildren();
  const head = table.createTHead().insertRow(), body = table.createTBody();
  head.append(element("td"), ...[1, 0].map((two) => { const th = element("th", "", `${LETTERS[b]} ${rightness(two)}`); th.scope = "col"; return th; }));
  for (const one of [1, 0]) {
    const line = body.insertRow(), th = element("th", "", `${LETTERS[a]} ${rightness(one)}`);
    th.scope = "row";
    line.append(th);
    for (const two of [1, 0]) {
      const cell = element("td", one === two ? "figure" : "figure flip");
      cell.append(pickButton(n[one][two], `pair:${a}:${b}:${one}:${two}`, `${th.textContent}, ${LETTERS[b]} ${rightness(two)}`));
      line.append(cell);
    }
  }
  const p = mcnemar(n[1][0], n[0][1]);
  at("mcnemar").textContent = `McNemar's exact test of equal accuracy: p ${p < 1e-4 ? `= ${p.toExponential(1)}` : `= ${p.toPrecision(2)}`}, two-sided; it treats images as independent.`;
}

const LISTED = 12;
/** Flips of both kinds, those whose logits differ most first. */
function drawFlips(chosen) {
  const [a, b] = state.pair, flips = chosen.filter(flipped).sort((p, q) => apart(q) - apart(p)), list = at("fliplist");
  const kinds = [
    [`${LETTERS[a]} right, ${LETTERS[b]} wrong`, (i) => label[i] >= 0 && right(a, i)], [`${LETTERS[a]} wrong, ${LETTERS[b]} right`, (i) => label[i] >= 0 && !right(a, i)], ["unknown label", (i) => label[i] < 0],
  ];
  list.replaceChildren();
  const head = list.createTHead().insertRow();
  for (const name of [`${flips.length} flips`, "truth", LETTERS[a], LETTERS[b]]) {
    const th = element("th", "", name);
    th.scope = "col";
    head.append(th);
  }
  for (const [name, test] of kinds) {
    const found = flips.filter(test);
    if (!found.length) continue;
    const body = list.createTBody(), title = body.insertRow().insertCell();
    title.colSpan = 4;
    title.className = "kind";
    title.textContent = `${name}: ${found.length}${found.length > LISTED ? `, the ${LISTED} that differ most` : ""}`;
    for (const i of found.slice(0, LISTED)) {
      const line = body.insertRow(), cell = element("td", "id"), link = element("button", "link", D.ids[i]), kind = element("td");
      link.type = "button";
      link.addEventListener("click", () => open(i));
      cell.append(link);
      kind.append(truth(i));
      line.append(cell, kind);
      for (const d of [a, b]) { const td = element("td"); td.append(verdict(d, i)); line.append(td); }
    }
  }
}

function drawVotes(chosen) {
  const kinds = [0, 1, -1].filter((kind) => label.includes(kind)), table = at("votes");
  const n = Object.fromEntries(kinds.map((kind) => [kind, new Array(D.dumps.length + 1).fill(0)]));
  for (const i of chosen) if (heldByAll(i)) n[label[i]][votesFor(i)]++;
  table.replaceChildren();
  const head = table.createTHead().insertRow(), body = table.createTBody();
  for (const name of ["votes", ...kinds.map(kindName)]) {
    const th = element("th", "", name);
    th.scope = "col";
    head.append(th);
  }
  for (let votes = D.dumps.length; votes >= 0; votes--) {
    const line = body.insertRow(), th = element("th", "", `${votes} of ${D.dumps.length}`);
    th.scope = "row";
    line.append(th);
    for (const kind of kinds) {
      const cell = element("td", "figure");
      cell.append(pickButton(n[kind][votes], `votes:${votes}:${kind}`, `${th.textContent} call it generated; ${kindName(kind)}`));
      line.append(cell);
    }
  }
}

/** Dots of each class as one path; those that would fall on the same half pixel are drawn once, picked ones last. */
function drawAgainst(chosen) {
  const [a, b] = state.pair, wide = 2 * (BOX.right - BOX.left) + 1, tall = 2 * (BOX.bottom - BOX.top) + 1;
  const picture = new Map();
  for (const i of chosen) {
    const on = state.pick === null || state.pick.mask[i] === 2, key = `${on ? 1 : 0}${label[i]}`;
    if (!picture.has(key)) picture.set(key, { seen: new Uint8Array(wide * tall), parts: [], on, kind: label[i] });
    const { seen, parts } = picture.get(key), x = Math.round(onAxis(state.axis, a, i) * (wide - 1)), y = Math.round((1 - onAxis(state.axis, b, i)) * (tall - 1));
    if (seen[y * wide + x]++ === 0) parts.push(`M${BOX.left + x / 2} ${BOX.top + y / 2}h0`);
    else seen[y * wide + x] = 1;
  }
  const names = { 0: "real", 1: "fake", "-1": "unknown" };
  const dots = [...picture.values()].sort((p, q) => p.on - q.on).map(({ parts, on, kind }) => `<path class="dots ${names[kind]}${on ? "" : " out"}" d="${parts.join("")}"/>`).join("");
  const line = (d) => thresholdOnAxis(d), ticks = state.axis === "score" ? SCORE_TICKS : LOGIT_TICKS;
  const content = dots + `<line class="threshold" x1="${toX(line(a))}" x2="${toX(line(a))}" y1="${BOX.top}" y2="${BOX.bottom}"/><line class="threshold" y1="${toY(line(b))}" y2="${toY(line(b))}" x1="${BOX.left}" x2="${BOX.right}"/><path class="loop" d=""/>`;
  at("against").innerHTML = frame(`${state.axis} of ${LETTERS[a]}`, `${state.axis} of ${LETTERS[b]}`, content, ticks, ticks);
}

function drawRuns() {
  if (D.dumps.length < 2) return;
  const passes = passingOutside();
  allPoints = those((i) => passes[i]);
  shownPoints = allPoints.filter(both);
  drawFlips(shownPoints);
  drawFourfold(shownPoints);
  drawVotes(allPoints);
  drawAgainst(shownPoints);
  state.pair.forEach((d, k) => { at(`pair-${k}`).value = d; });
}
let shownPoints = [], allPoints = [], corners = null;

/** Where a pointer is in the plot, 0 to 1 on both axes. */
function pointed(event) {
  const svg = at("against").querySelector("svg"), point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [(point.x - BOX.left) / (BOX.right - BOX.left), (BOX.bottom - point.y) / (BOX.bottom - BOX.top)];
}

function loopEnded() {
  const loop = corners, [a, b] = state.pair, size = (k) => { const values = loop.filter((_, n) => n % 2 === k); return Math.max(...values) - Math.min(...values); };
  corners = null;
  if (size(0) > 0.02 || size(1) > 0.02) return pick(`loop:${a}:${b}:${state.axis}:${loop.map((x) => +x.toFixed(4)).join(",")}`);
  const far = (i) => Math.hypot(onAxis(state.axis, a, i) - loop[0], onAxis(state.axis, b, i) - loop[1]);
  const near = shownPoints.reduce((best, i) => { const own = far(i); return own < best[0] ? [own, i] : best; }, [0.02, -1]);
  if (near[1] >= 0) open(near[1]);
}

if (D.dumps.length > 1) {
  at("against").addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    at("against").setPointerCapture(event.pointerId);
    corners = pointed(event);
  });
  at("against").addEventListener("pointermove", (event) => {
    if (!corners) return;
    const [x, y] = pointed(event);
    if (Math.hypot(x - corners.at(-2), y - corners.at(-1)) < 0.008) return;
    corners.push(x, y);
    let text = "";
    for (let k = 0; k < corners.length; k += 2) text += `${k ? "L" : "M"}${toX(corners[k])} ${toY(corners[k + 1])}`;
    at("against").querySelector(".loop").setAttribute("d", `${text}Z`);
  });
  at("against").addEventListener("pointerup", () => { if (corners) loopEnded(); });
  at("against").addEventListener("pointercancel", () => { corners = null; });
  for (const k of [0, 1]) at(`pair-${k}`).addEventListener("change", (event) => {
    const other = state.pair[1 - k], chosen = Number(event.target.value), pair = [...state.pair];
    if (chosen === other) pair[1 - k] = pair[k];
    pair[k] = chosen;
    changed("pair", pair);
  });
}
