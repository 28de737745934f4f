// The gallery.

const PAGE = 60;
let listed = [], limit = PAGE, current = 0;
const element = (tag, kind = "", text = "") => {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text !== "") made.textContent = text;
  return made;
};
const passes = (i) => markPasses(i) && (state.source < 0 || source[i] === state.source) && (state.label === null || label[i] === state.label)
  && (inSlice(i) || (state.label === 0 && besideSlice(i)))
  && (state.generator < 0 || (label[i] === 1 ? generator[i] === state.generator : state.label === 0));

const ORDERS = {
  wrong: [(d, i) => label[i] >= 0 && !right(d, i), (d, i) => -Math.abs(margin(d, i))],
  missed: [(d, i) => label[i] === 1 && !called(d, i), (d, i) => margin(d, i)],
  alarm: [(d, i) => label[i] === 0 && called(d, i), (d, i) => -margin(d, i)],
  flips: [(d, i) => flipped(i), (d, i) => -apart(i)],
  spread: [() => D.dumps.length > 1, (d, i) => -spread(i)],
  hit: [(d, i) => label[i] === 1 && called(d, i), (d, i) => -margin(d, i)],
  passed: [(d, i) => label[i] === 0 && !called(d, i), (d, i) => margin(d, i)],
  undecided: [() => true, (d, i) => Math.abs(margin(d, i))],
  right: [(d, i) => label[i] >= 0 && right(d, i), (d, i) => -Math.abs(margin(d, i))],
  suspect: [() => true, (d, i) => -margin(d, i)],
  all: [() => true, (d, i) => i],
};

function list() {
  const [test, key] = ORDERS[state.order], d = state.by;
  const found = those((i) => held(d, i) && passes(i) && test(d, i)), matching = found.length;
  const carried = state.pixels ? found.filter((i) => D.images[i]) : found;
  listed = state.order === "all" ? carried : sortedBy(carried, (i) => key(d, i));
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
  const pane = element("div", "window"), pixels = D.images[i];
  if (pixels) {
    const image = new Image();
    image.alt = "";
    image.src = pixels.src;
    image.addEventListener("load", () => centre(image, pane, state.zoom));
    pane.append(image);
  } else pane.append(element("div", "none", "pixels not included"));
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

/** Whole pixels only: an image at half a pixel would be blurred. */
function centre(image, pane, zoom) {
  image.width = image.naturalWidth * zoom;
  image.style.left = `${Math.floor((pane.clientWidth - image.naturalWidth * zoom) / 2)}px`;
  image.style.top = `${Math.floor((pane.clientHeight - image.naturalHeight * zoom) / 2)}px`;
}

function drawGallery(keep = false) {
  if (!keep) { limit = PAGE; current = 0; }
  list();
  const cards = document.getElementById("cards");
  cards.replaceChildren(...Array.from(listed.slice(0, limit), card));
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
