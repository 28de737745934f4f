// The gallery.

const PAGE = 60;
let listed = new Uint32Array(0), limit = PAGE, current = 0;
const element = (tag, kind = "", text = "") => {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text !== "") made.textContent = text;
  return made;
};
/** 1 of each image that passes the filters of label, generator and marks too. */
function passingOf(has) {
  const found = new Uint8Array(N), { label: kind, generator: only } = state;
  for (let i = 0; i < N; i++) {
    if (has[i] === 0 || (kind !== null && label[i] !== kind) || (has[i] === 1 && kind !== 0)) continue;
    if (only >= 0 && (label[i] === 1 ? generator[i] !== only : kind !== 0)) continue;
    found[i] = state.marked === "" || markPasses(i) ? 1 : 0;
  }
  return found;
}
const further = () => [state.label, state.generator, state.marked, state.marked && marksChanged];
const passing = kept(() => [among(), ...further()], () => passingOf(among()));
const passingOutside = kept(() => [sliced(), ...further()], () => passingOf(sliced()));

/** The outcomes that each order lists, its key of the distance from the threshold in logits, and a further test. */
const ANY = [HIT, MISSED, ALARM, PASSED, CALLED, UNCALLED];
const ORDERS = {
  wrong: [[MISSED, ALARM], (far) => -Math.abs(far)],
  missed: [[MISSED], (far) => far],
  alarm: [[ALARM], (far) => -far],
  flips: [ANY, (far, i) => -apart(i), (i) => flipped(i)],
  spread: [ANY, (far, i) => -spread(i)],
  hit: [[HIT], (far) => -far],
  passed: [[PASSED], (far) => far],
  undecided: [ANY, (far) => Math.abs(far)],
  right: [[HIT, PASSED], (far) => -Math.abs(far)],
  suspect: [ANY, (far) => -far],
  all: [ANY],
};

function list() {
  const [wanted, key, test] = ORDERS[state.order], d = state.by, codes = outcomes[d](), passes = passing();
  const listable = Uint8Array.from({ length: UNCALLED + 1 }, (_, code) => wanted.includes(code));
  const found = those((i) => listable[codes[i]] && passes[i] && (!test || test(i))), matching = found.length;
  const carried = state.pixels ? found.filter(thumbnailOf) : found, { logit } = D.dumps[d], from = cut(d);
  listed = key ? sortedBy(carried, (i) => key(clamp(logit[i], -1e3, 1e3) - from, i)) : carried;
  const hidden = matching - listed.length;
  document.getElementById("shown").textContent = `${matching} image${matching === 1 ? "" : "s"}${hidden ? `, ${hidden} of them not carried as pixels` : ""}`;
}

function truth(i) {
  if (label[i] === 1) return element("bdi", "fake-text", D.generators[generator[i]] || "generated");
  return element("span", label[i] === 0 ? "real-text" : "unknown-text", label[i] === 0 ? D.negative : "unknown");
}

function verdict(d, i) {
  const grade = label[i] < 0 ? "" : right(d, i) ? "good" : "bad";
  const score = D.dumps[d].score[i];
  // near the ends a probability says little: show how far it is from the end instead
  const text = score > 0.9995 ? `1−${(1 - score).toExponential(0)}` : score < 0.0005 && score > 0 ? score.toExponential(0) : score.toFixed(3);
  return element("span", `verdict ${grade}`, `${D.dumps.length > 1 ? LETTERS[d] + " " : ""}${text}`);
}

function card(i, k) {
  const d = state.by, box = element("div", `card ${label[i] < 0 ? "" : right(d, i) ? "right" : "wrong"} ${label[i] === 0 ? "real" : ""}`);
  box.setAttribute("role", "option");
  box.tabIndex = k === current ? 0 : -1;
  box.dataset.k = k;
  const pane = element("div", "window");
  if (thumbnailOf(i)) pane.append(thumbnail(i));
  else pane.append(element("div", "none", "pixels not included"));
  const text = element("div", "text"), line = element("div", "truth"), scores = element("span");
  D.dumps.forEach((_, e) => { if (held(e, i)) scores.append(verdict(e, i), " "); });
  line.append(truth(i));
  if (D.dumps.length < 2) line.append(scores);
  if (isMarked(i)) text.append(marksOf(i));
  const id = element("div", "id");
  id.append(element("bdi", "", D.ids[i]));
  id.title = D.ids[i];
  text.append(line);
  if (D.dumps.length > 1) text.append(scores);
  text.append(id);
  box.append(pane, text);
  return box;
}

/** On a server an image's place serves all of its pixels; a page that is a file has only those that it holds. */
const SERVED = document.documentElement.dataset.served === "1";
const servedAt = (i) => `image/${i}`;
const thumbnailOf = (i) => (D.images[i] ? D.images[i].src : SERVED ? servedAt(i) : null);
const thumbnails = new Map();
/** An image is decoded once, however often the gallery is drawn. */
function thumbnail(i) {
  if (!thumbnails.has(i)) {
    const image = new Image();
    image.alt = "";
    image.loading = "lazy";
    image.src = thumbnailOf(i);
    image.addEventListener("load", () => centre(image));
    image.addEventListener("error", () => image.replaceWith(element("div", "none", "this image cannot be shown")));
    thumbnails.set(i, image);
  }
  return thumbnails.get(i);
}

let room = [0, 0];
/** Whole pixels only: an image at half a pixel would be blurred. */
function centre(image) {
  image.width = image.naturalWidth * state.zoom;
  image.style.left = `${Math.floor((room[0] - image.naturalWidth * state.zoom) / 2)}px`;
  image.style.top = `${Math.floor((room[1] - image.naturalHeight * state.zoom) / 2)}px`;
}

function drawGallery(keep = false) {
  if (!keep) { limit = PAGE; current = 0; }
  list();
  const cards = document.getElementById("cards");
  cards.replaceChildren(...Array.from(listed.subarray(0, limit), card));
  // all windows have the same size, so one is measured
  const pane = [...cards.querySelectorAll(".window")].find((found) => found.querySelector("img"));
  if (pane) room = [pane.clientWidth, pane.clientHeight];
  for (const image of cards.querySelectorAll("img")) if (image.complete) centre(image);
  if (!listed.length) cards.append(element("p", "note", "No image fits the filter."));
  document.getElementById("more").hidden = listed.length <= limit;
}

function focusCard(k) {
  const cards = document.querySelectorAll("#cards .card");
  if (!cards.length) return;
  if (k >= cards.length && limit < listed.length) { limit += PAGE; drawGallery(true); return focusCard(k); }
  if (cards[current]) cards[current].tabIndex = -1;
  current = clamp(k, 0, cards.length - 1);
  cards[current].tabIndex = 0;
  cards[current].focus();
}

function columns() {
  const cards = [...document.querySelectorAll("#cards .card")];
  const next = cards.findIndex((c) => c.offsetTop > cards[0].offsetTop);
  return next < 0 ? cards.length : next;
}
