// Shows one image after another and sends the answers. The server alone knows which image is next.

const at = (id) => document.getElementById(id);
const image = at("image"), stage = at("stage"), cover = at("cover");
const name = (label) => (label === 1 ? "generated" : "real");
let state = null, mode = "loading", zoom = 0, since = 0, spent = 0;

/** Seconds since the image appeared, without pauses. */
const elapsed = () => spent + (since ? (performance.now() - since) / 1000 : 0);
const stop = () => { spent = elapsed(); since = 0; };

function show(next, message = "", button = "", over = false) {
  mode = next;
  document.body.dataset.mode = next;
  cover.hidden = message === "";
  cover.classList.toggle("over", over);
  at("text").textContent = message;
  at("go").textContent = button;
  const asking = next === "asking";
  for (const id of ["real", "generated", "pause"]) at(id).disabled = !asking;
  at("undo").disabled = !(state && state.undo && (asking || next === "complete"));
  if (!cover.hidden) at("go").focus(); else stage.focus();
}

/** Sizes the image: 0 fits it into the window, never enlarged; else screen pixels per image pixel. */
function size() {
  const ratio = window.devicePixelRatio || 1;
  const fitted = Math.min(1 / ratio, stage.clientWidth / image.naturalWidth, stage.clientHeight / image.naturalHeight);
  const scale = zoom === 0 ? fitted : zoom / ratio;
  image.width = Math.max(1, Math.round(image.naturalWidth * scale));
  image.height = Math.max(1, Math.round(image.naturalHeight * scale));
  image.classList.toggle("crisp", zoom >= 1);
  stage.classList.toggle("drag", image.width > stage.clientWidth || image.height > stage.clientHeight);
  at("fit").setAttribute("aria-pressed", String(zoom === 0));
  at("exact").setAttribute("aria-pressed", String(zoom === 1));
  at("zoom").textContent = `${Math.round(scale * ratio * 100)} %`;
}

function setZoom(next) {
  const x = (stage.scrollLeft + stage.clientWidth / 2) / stage.scrollWidth, y = (stage.scrollTop + stage.clientHeight / 2) / stage.scrollHeight;
  zoom = next;
  size();
  stage.scrollTo(x * stage.scrollWidth - stage.clientWidth / 2, y * stage.scrollHeight - stage.clientHeight / 2);
}
const STEPS = [0, 1, 2, 3, 4, 6, 8, 12, 16];
const step = (by) => setZoom(STEPS[Math.min(Math.max(STEPS.indexOf(zoom) + by, 0), STEPS.length - 1)]);

async function ask(path, body) {
  const request = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const reply = await fetch(path, request);
  return [reply.ok, await reply.json()];
}

function progress() {
  at("bar").value = state.position;
  at("count").textContent = `${state.position} of ${state.count}`;
}

function next() {
  progress();
  spent = 0; since = 0;
  if (state.position === state.count) {
    image.removeAttribute("src");
    show("complete", "All images are answered. The result cannot be changed once it is shown.", "show the result");
    return;
  }
  show("loading");
  image.src = `image/${state.position}`;
}

image.addEventListener("load", () => {
  size();
  since = performance.now();
  show("asking");
  if (document.hidden) pause();
});
image.addEventListener("error", () => { if (image.getAttribute("src")) lost(); });

const lost = () => { stop(); show("lost", "The program does not reply. Start the same command again: no answer is lost.", "try again"); };

async function resync() {
  try {
    const [ok, reply] = await ask("state");
    if (!ok) throw new Error(reply.error);
    state = reply;
    next();
  } catch { lost(); }
}

async function answer(called) {
  if (mode !== "asking") return;
  stop();
  show("sending");
  try {
    const [ok, reply] = await ask("answer", { position: state.position, called, seconds: spent });
    if (!ok) { at("note").textContent = reply.error; await resync(); return; }
    at("note").textContent = "";
    state = reply;
    progress();
    if (reply.truth === undefined) { next(); return; }
    const by = reply.generator ? `, by ${reply.generator}` : "";
    show("truth", `${reply.truth === called ? "Right" : "Wrong"}: it is ${name(reply.truth)}${by}.`, "next", true);
  } catch { lost(); }
}

async function undo() {
  if (at("undo").disabled) return;
  stop();
  show("sending");
  try {
    const [ok, reply] = await ask("undo", {});
    at("note").textContent = ok ? "" : reply.error;
    if (ok) { state = reply; next(); } else await resync();
  } catch { lost(); }
}

function pause() {
  if (mode !== "asking") return;
  stop();
  show("paused", "Paused. The clock is stopped.", "go on");
}

function go() {
  if (mode === "paused") { since = performance.now(); show("asking"); }
  else if (mode === "truth") next();
  else if (mode === "complete") location.assign("result");
  else if (mode === "lost") resync();
}

const KEYS = {
  r: () => answer(0), g: () => answer(1), u: undo, p: () => (mode === "paused" ? go() : pause()),
  f: () => setZoom(0), 1: () => setZoom(1), "+": () => step(1), "=": () => step(1), "-": () => step(-1),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const act = KEYS[event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
});
for (const [id, act] of Object.entries({ real: () => answer(0), generated: () => answer(1), undo, pause, go, fit: () => setZoom(0), exact: () => setZoom(1), in: () => step(1), out: () => step(-1) }))
  at(id).addEventListener("click", act);
document.addEventListener("visibilitychange", () => { if (document.hidden) pause(); });
new ResizeObserver(() => { if (image.naturalWidth) size(); }).observe(stage);

let drag = null;
stage.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !stage.classList.contains("drag")) return;
  drag = [event.clientX + stage.scrollLeft, event.clientY + stage.scrollTop];
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => { if (drag) stage.scrollTo(drag[0] - event.clientX, drag[1] - event.clientY); });
for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, () => { drag = null; });

if (document.body.dataset.reveal === "each") at("undo").hidden = true;
resync();
