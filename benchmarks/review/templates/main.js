// Ties controls to plots. The address after # holds the view: t=0.3,0.5&g=NAME&s=NAME&l=1&c=COLUMN&v=VALUE&k=PICK&w=0,2&o=missed&x=logit&i=ID&z=4&p=nf

let sets = [];

const MATRIX = state.matrix.join();
function remember() {
  const parts = [`t=${state.t.join(",")}`];
  const add = (key, value) => parts.push(`${key}=${encodeURIComponent(value)}`);
  if (state.generator >= 0) add("g", D.generators[state.generator]);
  if (state.source >= 0) add("s", D.sources[state.source]);
  if (state.label !== null) add("l", state.label);
  if (state.column) add("c", D.slices[state.column].name);
  if (state.value >= 0) add("v", D.slices[state.column].values[state.value]);
  if (state.pick) add("k", state.pick.address);
  if (state.matrix.join() !== MATRIX) add("m", state.matrix.join());
  if (state.pair.join() !== "0,1") add("w", state.pair.join());
  if (state.order !== "wrong") add("o", state.order);
  if (state.axis !== "score") add("x", state.axis);
  if (state.by) add("b", state.by);
  if (viewer.open && state.open >= 0) {
    add("i", D.ids[state.open]);
    if (viewerZoom > 1) add("z", viewerZoom);
    if (shownPanels.size < Object.keys(PANELS).length) add("p", [...shownPanels].join(""));
  }
  history.replaceState(null, "", `#${parts.join("&")}`);
}

function recall() {
  let pickAddress = "";
  for (const part of location.hash.slice(1).split("&")) {
    const [key, raw] = part.split("="), value = decodeURIComponent(raw || "");
    if (key === "t") value.split(",").forEach((t, d) => { if (d < state.t.length && Number.isFinite(parseFloat(t))) state.t[d] = parseFloat(t); });
    if (key === "g") state.generator = D.generators.indexOf(value);
    if (key === "s") state.source = D.sources.indexOf(value);
    if (key === "l" && ["0", "1", "-1"].includes(value)) state.label = Number(value);
    if (key === "c") state.column = Math.max(0, D.slices.findIndex((column) => column.name === value));
    if (key === "v" && D.slices.length) state.value = D.slices[state.column].values.indexOf(value);
    if (key === "k") pickAddress = value;
    if (key === "m") {
      const [a, b, shows] = value.split(",");
      if (D.slices[b] && (D.slices[a] || (Number(a) === RUNS && D.dumps.length > 1)) && shows in MATRIX_SHOWS) state.matrix = [Number(a), Number(b), shows];
    }
    if (key === "w") { const [a, b] = value.split(",").map(Number); if (a !== b && D.dumps[a] && D.dumps[b]) state.pair = [a, b]; }
    if (key === "o" && value in ORDERS && (!["flips", "spread"].includes(value) || D.dumps.length > 1)) state.order = value;
    if (key === "x" && value === "logit") state.axis = value;
    if (key === "b" && Number(value) < D.dumps.length) state.by = Number(value) | 0;
    if (key === "i") state.open = D.ids.indexOf(value);
    if (key === "z" && ZOOMS.includes(Number(value))) viewerZoom = Number(value);
    if (key === "p") for (const panel of Object.keys(PANELS)) if (value.includes(panel)) shownPanels.add(panel); else shownPanels.delete(panel);
  }  state.pick = picked(pickAddress);
}

function showControls() {
  D.dumps.forEach((dump, d) => {
    at(`slider-${d}`).value = Math.round(thresholdOnAxis(d) * 1000);
    if (document.activeElement !== at(`number-${d}`)) at(`number-${d}`).value = +state.t[d].toPrecision(6);
    at(`chosen-${d}`).disabled = dump.chosen === null;
  });
  at("generator").value = state.generator;
  at("source").value = state.source;
  at("label").value = state.label === null ? "" : String(state.label);
  at("axis").value = state.axis;
  at("marked").value = state.marked;
  showSlices();
  showPick();
  at("order").value = state.order;
  if (at("by")) at("by").value = state.by;
  const real = sets.map((s) => s.real.length), fake = sets.map((s) => s.fake.length);
  at("scope").textContent = `counting ${real.join(" | ")} ${D.negative}, ${fake.join(" | ")} generated`;
}

let pending = 0;
/** Counts and marks at once; the gallery, which may be long, when the slider rests. */
function thresholdMoved() {
  if (pickMoved()) everything();
  moveThresholds(sets);
  showControls();
  clearTimeout(pending);
  pending = setTimeout(() => { matrix(); markCell(); runs(); gallery(); remember(); }, 120);
}

const measured = kept(() => [among(), state.generator], () => { const kinds = kindsNow(); return D.dumps.map((_, d) => scores(d, kinds)); });
/** Each plot and list is drawn again only if what it shows has changed. */
const roc = kept(() => [sets, state.log], () => drawRoc(sets));
const pr = kept(() => [sets], () => drawPr(sets));
const bins = kept(() => [sets], () => drawReliability(sets));
const histograms = kept(() => [sets, state.axis], () => drawHistograms());
const runs = kept(() => [passingOutside(), state.pick, state.axis, ...state.pair, ...state.t], () => drawRuns());
const gallery = kept(() => [passing(), state.order, state.by, state.pixels, ...state.t], () => drawGallery());

function everything() {
  sets = measured();
  for (const draw of [matrix, roc, pr, bins, histograms]) draw();
  markCell();
  moveThresholds(sets);
  showControls();
  runs();
  gallery();
}

function changed(name, value) {
  state[name] = value;
  everything();
  remember();
}

function fill(select, names, used, all) {
  select.append(new Option(all, -1));
  names.forEach((name, k) => { if (used.has(k)) select.append(new Option(name || "(unnamed)", k)); });
  if (used.size < 2) select.closest("label").hidden = true;
}

fill(at("generator"), D.generators, new Set(ROWS.filter((r) => r.kind === "fake").map((r) => r.index)), "all");
fill(at("source"), D.sources, new Set(source), "all");
for (const line of document.querySelectorAll("#confusion tbody tr")) {
  const heads = [...document.querySelectorAll("#confusion thead th")];
  [...line.cells].forEach((cell, k) => { cell.dataset.head = heads[k].textContent; });
}
D.dumps.forEach((dump, d) => {
  at(`slider-${d}`).addEventListener("input", (event) => { state.t[d] = fromAxis(event.target.value / 1000); thresholdMoved(); });
  at(`number-${d}`).addEventListener("input", (event) => { const t = parseFloat(event.target.value); if (Number.isFinite(t)) { state.t[d] = t; thresholdMoved(); } });
  at(`half-${d}`).addEventListener("click", () => { state.t[d] = 0.5; thresholdMoved(); });
  at(`chosen-${d}`).addEventListener("click", () => { state.t[d] = dump.chosen; thresholdMoved(); });
});
at("generator").addEventListener("change", (event) => changed("generator", Number(event.target.value)));
at("source").addEventListener("change", (event) => changed("source", Number(event.target.value)));
at("label").addEventListener("change", (event) => changed("label", event.target.value === "" ? null : Number(event.target.value)));
at("axis").addEventListener("change", (event) => changed("axis", event.target.value));
at("log").addEventListener("change", (event) => changed("log", event.target.checked));
at("reset").addEventListener("click", () => {
  Object.assign(state, { t: D.dumps.map((dump) => (dump.chosen === null ? 0.5 : dump.chosen)), generator: -1, source: -1, label: null, marked: "", value: -1, pick: null, order: "wrong", by: 0 });
  everything();
  remember();
});
for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
at("order").addEventListener("change", (event) => { state.order = event.target.value; gallery(); remember(); });
if (at("by")) at("by").addEventListener("change", (event) => { state.by = Number(event.target.value); everything(); remember(); });
at("zoom").addEventListener("change", (event) => { state.zoom = Number(event.target.value); drawGallery(true); });
at("pixels").addEventListener("change", (event) => { state.pixels = event.target.checked; gallery(); });
at("more").addEventListener("click", () => { limit += PAGE; drawGallery(true); });
at("cards").addEventListener("click", (event) => {
  const box = event.target.closest(".card");
  if (box) { focusCard(Number(box.dataset.k)); open(listed[current]); }
});
at("histograms").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) changed("generator", Number(button.dataset.index) === state.generator ? -1 : Number(button.dataset.index));
});
for (const link of document.querySelectorAll("[data-generator]")) link.addEventListener("click", (event) => {
  event.preventDefault();
  changed("generator", D.generators.indexOf(link.dataset.generator));
});
for (const link of document.querySelectorAll("nav a")) link.addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector(link.getAttribute("href")).scrollIntoView({ behavior: "smooth" });
});
viewer.addEventListener("close", () => { state.open = -1; remember(); drawGallery(true); if (listed.length) focusCard(current); });
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (viewer.open) {
    if (event.target.closest("input, textarea")) return;
    if (event.key === "s") return toggleStar(state.open);
    const steps = { ArrowLeft: -1, ArrowRight: 1, j: 1, k: -1 };
    if (event.key in steps) {
      event.preventDefault();
      const next = clamp((listed.indexOf(state.open) < 0 ? current : listed.indexOf(state.open)) + steps[event.key], 0, listed.length - 1);
      if (next >= limit) { limit += PAGE; drawGallery(true); }
      current = next;
      if (listed.length) open(listed[next]);
    } else if (sheetKey(event.key)) event.preventDefault();
    return;
  }
  const field = event.target.closest("input:not([type=range]):not([type=checkbox]), select");
  if (field) return;
  if (event.key === "[" || event.key === "]") {
    const u = thresholdOnAxis(state.by) + (event.key === "]" ? 0.005 : -0.005);
    state.t[state.by] = fromAxis(clamp(u, 0, 1));
    thresholdMoved();
    return;
  }
  if (!event.target.closest("#cards")) return;
  const wide = columns(), steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide, j: 1, k: -1, Home: -1e9, End: 1e9 };
  if (event.key === "s" && listed.length) toggleStar(listed[current]);
  if (event.key in steps) { event.preventDefault(); focusCard(clamp(current + steps[event.key], 0, listed.length - 1)); }
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(listed[current]); }
});
window.addEventListener("hashchange", () => { recall(); everything(); });
new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${at("bar").offsetHeight + 10}px`)).observe(at("bar"));

if (!label.some((y) => y >= 0)) state.order = "suspect";
recall();
if (SERVED || !Object.keys(D.images).length) { state.pixels = false; at("pixels").checked = false; at("pixels").disabled = true; }
everything();
if (state.open >= 0) open(state.open);
document.body.dataset.ready = "1";
