// Stars, tags and notes. The browser keeps them for pages with these images and scores; files carry them elsewhere.

const MARKS = `pixelproof-review-${D.hash}`;
/** Position of an image to its marks. */
const noted = new Map();
let marksChanged = 0;
const mark = (i) => noted.get(i) || { star: false, tags: [], note: "" };
const isMarked = (i) => noted.has(i);
const markPasses = (i) => state.marked === "" || (state.marked === "star" ? mark(i).star : isMarked(i));
const say = (text) => { document.getElementById("marks-status").textContent = text; };
const count = (n, word, words = `${word}s`) => `${n} ${n === 1 ? word : words}`;
const tagsOf = (text) => [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];

/** Marks as records, in the page's order. */
const records = () => [...noted].sort((a, b) => a[0] - b[0]).map(([i, found]) => ({ id: D.ids[i], ...found }));

function setMark(i, { star, tags, note }) {
  marksChanged++;
  if (star || tags.length || note) noted.set(i, { star, tags, note }); else noted.delete(i);
}

/** Marks from elsewhere; the number of those whose image is on this page. */
function setMarks(found) {
  const places = new Map(D.ids.map((id, i) => [id, i])), known = found.filter((record) => places.has(record.id));
  for (const record of known) setMark(places.get(record.id), record);
  return known.length;
}

function keepMarks() {
  try {
    localStorage.setItem(MARKS, JSON.stringify(records()));
    say(`${count(noted.size, "image")} marked`);
  } catch {
    say(`${count(noted.size, "image")} marked, but this browser keeps nothing: save the marks as a file`);
  }
}

function recallMarks() {
  let kept = null;
  try { kept = localStorage.getItem(MARKS); } catch { return; }
  if (kept) setMarks(JSON.parse(kept));
  if (noted.size) say(`${count(noted.size, "image")} marked`);
}

function changeMark(i, change) {
  setMark(i, { ...mark(i), ...change });
  keepMarks();
}

function toggleStar(i) {
  changeMark(i, { star: !mark(i).star });
  if (viewer.open) {
    const focused = document.activeElement.id === "star";
    open(i);
    if (focused) document.getElementById("star").focus();
    return;
  }
  drawGallery(true);
  focusCard(current);
}

function marksOf(i) {
  const { star, tags, note } = mark(i), line = element("div", "marks");
  if (star) line.append(element("span", "star", "★ "));
  line.append(element("bdi", "", [...tags, note].filter(Boolean).join(" · ")));
  return line;
}

function markFields(i) {
  const box = element("div", "marking"), { star, tags, note } = mark(i);
  const button = element("button", "", star ? "★ starred" : "☆ star");
  button.id = "star";
  button.setAttribute("aria-pressed", String(star));
  button.addEventListener("click", () => toggleStar(i));
  const field = (name, tag, id, value, read) => {
    const outer = element("label", "", name), input = element(tag);
    input.id = id;
    input.value = value;
    input.addEventListener("input", () => changeMark(i, read(input.value)));
    outer.append(input);
    return outer;
  };
  box.append(button, field("tags, separated by commas", "input", "tags", tags.join(", "), (text) => ({ tags: tagsOf(text) })),
    field("note", "textarea", "note", note, (text) => ({ note: text })));
  return box;
}

const quoted = (cell) => (/[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
const csv = (rows) => rows.map((cells) => `${cells.map((cell) => quoted(String(cell))).join(",")}\r\n`).join("");

/** Rows of RFC 4180: quoted cells may hold commas, line ends and doubled quotes. */
function readCsv(text) {
  const rows = [[]];
  for (const [, inQuotes, bare, end] of text.replace(/^\ufeff/, "").matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1).push(inQuotes === undefined ? bare : inQuotes.replaceAll('""', '"'));
    if (end !== ",") rows.push([]);
  }
  return rows.filter((cells) => cells.length > 1 || cells[0]);
}

function readMarks(text) {
  if (text.trimStart().startsWith("{")) {
    const found = JSON.parse(text).marks;
    if (!Array.isArray(found) || !found.every((m) => typeof m.id === "string" && Array.isArray(m.tags) && typeof m.note === "string")) throw new Error("marks need id, star, tags and note");
    return found.map((m) => ({ id: m.id, star: m.star === true, tags: tagsOf(m.tags.join(",")), note: m.note }));
  }
  const [head = [], ...rows] = readCsv(text), at = ["id", "star", "tags", "note"].map((name) => head.indexOf(name));
  if (at.includes(-1)) throw new Error("the first line must name id, star, tags and note");
  return rows.map((cells) => at.map((k) => cells[k] || "")).map(([id, star, tags, note]) => ({ id, star: star === "1", tags: tagsOf(tags), note }));
}

function loadMarks(name, text) {
  let found;
  try { found = readMarks(text); } catch (error) { return say(`${name} holds no marks: ${error.message}`); }
  const known = setMarks(found), others = found.length - known;
  everything();
  drawGallery(true);
  keepMarks();
  say(`${count(known, "mark")} loaded${others ? `; ${count(others, "other")} of images that are not on this page` : ""}`);
}

function save(name, text, type) {
  const link = element("a"), address = URL.createObjectURL(new Blob([text], { type }));
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** The images of the gallery that are files of their own; those inside a container have no path. */
function saveChosen() {
  const files = Array.from(listed.filter((i) => D.places[place[i]] && row[i] < 0));
  const rows = files.map((i) => [D.places[place[i]], label[i], label[i] === 1 ? D.generators[generator[i]] : "", D.sources[source[i]], D.ids[i]]);
  const left = listed.length - files.length;
  if (files.length) save("chosen.csv", csv([["path", "label", "generator", "source", "id"], ...rows]), "text/csv");
  say(`${count(files.length, "image")} saved${left ? `; ${left} without a file of their own left out` : ""}`);
}

document.getElementById("marked").addEventListener("change", (event) => changed("marked", event.target.value));
document.getElementById("save-csv").addEventListener("click", () => save("marks.csv", csv([["id", "star", "tags", "note"], ...records().map((m) => [m.id, +m.star, m.tags.join(","), m.note])]), "text/csv"));
document.getElementById("save-json").addEventListener("click", () => save("marks.json", JSON.stringify({ page: D.hash, marks: records() }, null, 1), "application/json"));
document.getElementById("save-chosen").addEventListener("click", saveChosen);
document.getElementById("load").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (file) loadMarks(file.name, await file.text());
  event.target.value = "";
});
recallMarks();
