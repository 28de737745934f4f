// One image's sheet: its pixels and what follows from them, the scores of every run, and what its file says.

const viewer = document.getElementById("viewer");
const ZOOMS = [1, 2, 4, 8, 16];
let viewerZoom = 1;

/** What the sheet can show beside the pixels, with the key that shows or hides it. */
const PANELS = { n: "NPR residual", f: "log-spectrum", e: "error level", g: "JPEG grid", m: "maps" };
const shownPanels = new Set(Object.keys(PANELS));

/** Where the pixels that the page holds begin in the whole image. */
const offsetOf = ({ width, height }, shown) => [(width - shown.width) >> 1, (height - shown.height) >> 1];

/** A panel of the stage: a titled window on an image or canvas, which scrolls together with those of the same pixels. */
function panel(name, note, content, tied = true) {
  const figure = element("figure", "panel"), title = element("figcaption", "", name), pane = element("div", "pane");
  title.append(" ", element("small", "", note));
  pane.tabIndex = 0;
  pane.setAttribute("role", "group");
  pane.setAttribute("aria-label", name);
  pane.append(content);
  if (tied) {
    pane.dataset.tied = "1";
    pane.addEventListener("scroll", () => {
      for (const other of viewer.querySelectorAll(".pane[data-tied]")) {
        if (other === pane || (other.scrollLeft === pane.scrollLeft && other.scrollTop === pane.scrollTop)) continue;
        other.scrollLeft = pane.scrollLeft;
        other.scrollTop = pane.scrollTop;
      }
    });
  }
  figure.append(title, pane);
  return figure;
}

/** Shows whole pixels, without smoothing. */
function sized(content) {
  const whole = () => { content.style.width = `${(content.naturalWidth || content.width) * viewerZoom}px`; };
  if (content instanceof HTMLImageElement && !content.complete) content.addEventListener("load", whole);
  else if (content instanceof HTMLImageElement) content.decode().then(whole, () => {});
  else whole();
  return content;
}

function picture(src, name) {
  const image = new Image();
  image.alt = name;
  image.src = src;
  return sized(image);
}

function described(canvas, name) {
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", name);
  return sized(canvas);
}

/** An image's pixels: those in the page, or, from a server, all of an image that the page does not hold as a whole. */
const pixelsFor = (i) => (SERVED && !(D.images[i] && D.images[i].whole) ? { ...D.images[i], src: servedAt(i), served: true } : D.images[i]);

const carried = (pixels) => (pixels.served ? "all pixels, from the server" : !pixels.whole ? `the central part of ${pixels.width} × ${pixels.height} pixels, kept without loss`
  : pixels.src.startsWith("data:image/png") && pixels.format !== "PNG" ? "all pixels, kept without loss" : "the original file, byte for byte");

/** What tells the image that a detector scored from the original that is shown. */
function differsBy(i) {
  const aligned = label[i] === 1 && D.dumps.filter((dump, d) => dump.aligned && held(d, i));
  return aligned && aligned.length ? `; the original, not aligned as it was scored (datamodule.align=${aligned[0].aligned})` : "";
}

/** Greatest of eight means, the next one, and where blocks begin if the greatest is the last position before a block. */
function greatest(means) {
  const at = means.indexOf(Math.max(...means)), next = Math.max(...means.filter((_, k) => k !== at));
  return { begin: (at + 1) % 8, text: `${means[at].toFixed(2)} × the mean, next ${next.toFixed(2)}` };
}

/** Differences by position modulo 8; the means of columns and rows show where blocks begin. */
function gridOf({ grid }) {
  const mean = (of) => [0, 1, 2, 3, 4, 5, 6, 7].map((k) => grid.reduce((sum, ratio, at) => sum + (of(at) === k ? ratio / 8 : 0), 0));
  const column = greatest(mean((at) => at % 8)), line = greatest(mean((at) => at >> 3)), far = Math.max(...grid.map((ratio) => Math.abs(ratio - 1)), 0.05);
  const canvas = painted(64, 64, (out, to, x, y) => { out.fill(128 + (127 * (grid[(y >> 3) * 8 + (x >> 3)] - 1)) / far, to, to + 3); });
  return panel(PANELS.g, `of the file's own orientation: differences across pixel corners by position modulo 8. Greatest where blocks would begin at (${column.begin}, ${line.begin}): columns ${column.text}; rows ${line.text}`,
    described(canvas, "differences by position modulo 8"), false);
}

/** Adds the panels that need decoded pixels, unless the reader has gone on to another image. */
async function measure(i, panels) {
  const shown = pixelsFor(i), pixels = await pixelsOf(shown.src), offset = shown.served ? [0, 0] : offsetOf(shown, pixels), made = [];
  const add = (key, name, note, canvas, tied) => { if (canvas) made.push(panel(name, note, described(canvas, `${name} of ${D.ids[i]}`), tied)); };
  if (shownPanels.has("n")) add("n", PANELS.n, `2 × 2 blocks less their top left pixel, ${GAIN} × enlarged; grey is 0`, residualOf(pixels, offset));
  if (shownPanels.has("e")) add("e", PANELS.e, `difference from itself saved as JPEG by this browser, quality ${SAVED * 100}; ${LOUDER} × enlarged`, await errorLevel(pixels, offset));
  const found = shownPanels.has("f") && spectrumOf(pixels);
  if (found) add("f", PANELS.f, `central ${found.side} × ${found.side}, frequency 0 in the middle; log power ${found.low.toFixed(1)} (black) to ${found.high.toFixed(1)}`, found.canvas, false);
  if (state.open !== i || !viewer.open) return;
  panels.querySelector(".measured").replaceChildren(...made);
  viewer.dataset.measured = D.ids[i];
}

function stageOf(i) {
  const panels = element("div", "panels"), pixels = pixelsFor(i), measured = element("div", "measured");
  if (!pixels) {
    panels.append(element("p", "note", "This page does not contain this image's pixels."));
    return panels;
  }
  panels.append(panel("pixels", `${carried(pixels)}${viewerZoom > 1 ? `; ${viewerZoom} × without smoothing` : ", 1:1"}`, picture(pixels.src, D.ids[i])), measured);
  if (shownPanels.has("m")) for (const [name, src] of Object.entries(D.maps[i] || {})) panels.append(panel(name, "written with the dump", picture(src, name), false));
  if (shownPanels.has("g") && D.facts[i] && D.facts[i].grid) panels.append(gridOf(D.facts[i]));
  measure(i, panels).catch((error) => measured.replaceChildren(element("p", "note warn", `These pixels cannot be measured: ${error.message}`)));
  return panels;
}

function sheetButtons(i) {
  const box = element("div", "buttons"), add = (text, pressed, name, act) => {
    const button = element("button", pressed ? "on" : "", text);
    button.type = "button";
    if (name) button.setAttribute("aria-label", name);
    if (pressed !== null) button.setAttribute("aria-pressed", String(pressed));
    button.addEventListener("click", act);
    box.append(button);
  };
  for (const z of ZOOMS) add(z === 1 ? "1:1" : `${z}×`, z === viewerZoom, `zoom ${z} times`, () => zoomTo(z));
  box.append(element("br"));
  for (const [key, name] of Object.entries(PANELS)) add(name, shownPanels.has(key), "", () => togglePanel(key));
  box.append(element("br"));
  add("print", null, "", () => window.print());
  add("close", null, "", () => viewer.close());
  return box;
}

function zoomTo(zoom) {
  viewerZoom = zoom;
  open(state.open);
}

function togglePanel(key) {
  if (!shownPanels.delete(key)) shownPanels.add(key);
  open(state.open);
}

function scoresOf(i, fact) {
  const table = element("table"), head = table.createTHead().insertRow(), body = table.createTBody();
  for (const name of ["dump", "score", "logit", "threshold", "called"]) {
    const cell = element("th", "", name);
    cell.scope = "col";
    head.append(cell);
  }
  D.dumps.forEach((dump, d) => {
    if (!held(d, i)) return;
    const line = body.insertRow(), call = element("td", `verdict ${label[i] < 0 ? "" : right(d, i) ? "good" : "bad"}`, called(d, i) ? "generated" : D.negative);
    const name = element("td", "", LETTERS[d]);
    name.title = dump.name;
    line.append(name, element("td", "", dump.score[i].toPrecision(5)), element("td", "", dump.logit[i].toFixed(3)), element("td", "", state.t[d].toPrecision(4)), call);
    const crops = dump.crops && dump.crops(i);
    if (crops) fact(`crops${D.dumps.length > 1 ? " " + LETTERS[d] : ""}`, crops.map((s) => s.toFixed(3)).join("  "));
    for (const [name, valueOf] of Object.entries(dump.extra)) {
      const value = valueOf(i), same = D.dumps.every((other) => other.extra[name] && other.extra[name](i) === value);
      if (value === null || (same && d > 0)) continue;
      fact(same ? name : `${name} ${LETTERS[d]}`, typeof value === "number" && !Number.isInteger(value) ? String(+value.toPrecision(6)) : String(value));
    }
  });
  return table;
}

/** The images whose logits of one run are nearest, nearest first. */
function neighboursOf(i, d, most = 8) {
  const logits = D.dumps[d].logit, found = [];
  if (!held(d, i)) return found;
  for (let k = 0; k < N; k++) {
    if (k === i || !held(d, k)) continue;
    const far = logits[k] === logits[i] ? 0 : Math.abs(logits[k] - logits[i]);
    if (found.length === most && far >= found[most - 1][0]) continue;
    let place = found.length;
    while (place > 0 && found[place - 1][0] > far) place--;
    found.splice(place, 0, [far, k]);
    if (found.length > most) found.pop();
  }
  return found.map(([, k]) => k);
}

function neighbours(i) {
  const d = held(state.by, i) ? state.by : D.dumps.findIndex((_, e) => held(e, i)), box = element("div", "near");
  box.append(element("h3", "", `nearest by score${D.dumps.length > 1 ? ` of ${LETTERS[d]}` : ""}`));
  for (const k of neighboursOf(i, d)) {
    const button = element("button", "", ""), line = element("span", "truth");
    button.type = "button";
    button.title = D.ids[k];
    if (thumbnailOf(k)) {
      const image = new Image();
      image.alt = "";
      image.loading = "lazy";
      image.src = thumbnailOf(k);
      button.append(image);
    }
    line.append(truth(k));
    button.append(line, verdict(d, k));
    button.addEventListener("click", () => open(k));
    box.append(button);
  }
  return box;
}

/** Names of deliveries by family and strength: quality 50 before 90, whole numbers not as text. */
const deliveryOrder = (names) => names.map((name, k) => [name, k]).sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));

/** The score after every delivery as a dot on a line, with the undelivered score and the threshold. */
function redelivered(i) {
  const box = element("div", "redelivered"), d = D.deliveries.findIndex(({ images }) => images[i]);
  D.deliveries.forEach(({ left }, e) => { if (left && held(e, i)) box.append(element("p", "note", `${count(left, "delivery", "deliveries")} beside the dump${D.dumps.length > 1 ? ` ${LETTERS[e]}` : ""} left out: another checkpoint or view`)); });
  if (d < 0) return box;
  box.prepend(element("h3", "", "score after delivery"));
  const table = element("table"), head = table.createTHead().insertRow(), body = table.createTBody();
  const runs = D.deliveries.map(({ images }, e) => [e, images[i]]).filter(([, found]) => found);
  for (const text of ["delivery", ...runs.flatMap(([e]) => [`score${D.dumps.length > 1 ? ` ${LETTERS[e]}` : ""}`, "0 to 1"])]) {
    const cell = element("th", "", text);
    cell.scope = "col";
    head.append(cell);
  }
  const names = [...new Set(runs.flatMap(([e]) => D.deliveries[e].names))];
  for (const [name] of [["as it is"], ...deliveryOrder(names)]) {
    const line = body.insertRow();
    line.append(element("td", "", name));
    for (const [e, found] of runs) {
      const at = D.deliveries[e].names.indexOf(name), pair = name === "as it is" ? [D.dumps[e].score[i]] : at < 0 ? null : found[at];
      if (!pair) { line.append(element("td", "", "–"), element("td")); continue; }
      const score = Math.fround(pair[0]), call = score > state.t[e];
      const cell = element("td", `verdict ${label[i] < 0 ? "" : call === (label[i] === 1) ? "good" : "bad"}`, score.toPrecision(3)), plot = element("td");
      plot.innerHTML = `<svg viewBox="-4 0 108 12" width="108" height="12" aria-hidden="true"><line class="grid" x1="0" x2="100" y1="6" y2="6"/><line class="threshold" x1="${100 * clamp(state.t[e], 0, 1)}" x2="${100 * clamp(state.t[e], 0, 1)}" y1="1" y2="11"/><circle class="k${e % 4}" cx="${100 * score}" cy="6" r="3"/></svg>`;
      line.append(cell, plot);
    }
  }
  box.append(table);
  return box;
}

/** Name and text of each fact. */
function listOf(pairs) {
  const facts = element("dl");
  for (const [name, text] of pairs) {
    const dd = element("dd");
    dd.append(text instanceof Node ? text : element("bdi", "", text));
    facts.append(element("dt", "", name), dd);
  }
  return facts;
}

function factsOf(i) {
  const pairs = [], pixels = pixelsFor(i), fact = (name, value) => { if (value !== "" && value !== null && value !== undefined) pairs.push([name, value]); };
  fact("id", element("span", "id", D.ids[i]));
  fact("truth", truth(i));
  fact("source", D.sources[source[i]]);
  fact("group", D.groups[group[i]]);
  if (pixels) {
    if (pixels.width) fact("size", `${pixels.width} × ${pixels.height}`);
    if (pixels.width) fact("format", pixels.format ? `${pixels.format}, ${pixels.size.toLocaleString("en")} bytes` : "pixels");
    fact("shown", carried(pixels) + differsBy(i));
  }
  fact("where", D.places[place[i]] + (row[i] >= 0 && D.places[place[i]] ? ` [${row[i]}]` : ""));
  return [pairs, fact];
}

/** Metadata as text, which is all it can be. */
function fileOf(i) {
  const box = element("div", "file"), facts = D.facts[i];
  if (!facts) return box;
  if (facts.file.length) box.append(element("h3", "", "file"), listOf(facts.file));
  box.append(element("h3", "", "metadata"));
  box.append(facts.metadata.length ? listOf(facts.metadata) : element("p", "note", "none"));
  return box;
}

function open(i) {
  state.open = i;
  if (!viewer.open) viewer.showModal();
  delete viewer.dataset.measured;
  const [pairs, fact] = factsOf(i), table = scoresOf(i, fact), where = listed.indexOf(i);
  const title = element("h2", "sheet-title"), aside = viewer.querySelector("aside");
  title.append(element("bdi", "", D.ids[i]));
  const help = `${where < 0 ? "" : `${where + 1} of ${listed.length}; `}← → for neighbours, 1 2 4 8 6 or + - zoom, ${Object.entries(PANELS).map(([key, name]) => `${key} ${name}`).join(", ")}, s star, p print, Esc close`;
  aside.replaceChildren(sheetButtons(i), title, table, listOf(pairs), markFields(i), redelivered(i), neighbours(i), fileOf(i), element("p", "note keyhelp", help));
  viewer.querySelector(".stage").replaceChildren(stageOf(i));
  remember();
}

/** Keys of the sheet; whether the key was one of them. */
function sheetKey(key) {
  const step = { "+": 1, "=": 1, "-": -1 }[key];
  if (step) zoomTo(ZOOMS[clamp(ZOOMS.indexOf(viewerZoom) + step, 0, ZOOMS.length - 1)]);
  else if (key === "6" || ZOOMS.slice(0, 4).includes(Number(key))) zoomTo(key === "6" ? 16 : Number(key));
  else if (key in PANELS) togglePanel(key);
  else if (key === "p") window.print();
  else return false;
  return true;
}
