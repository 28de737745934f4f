// Sends dropped images one after another and shows what the server answers.

const at = (id) => document.getElementById(id);
const file = at("file"), drop = at("drop"), note = at("note"), reports = at("reports");
let token = "";
const TRIES = 30;

function made(tag, text = "", kind = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}
const shown = (value) => value.toFixed(3);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

function table(rows) {
  const body = document.createElement("table");
  for (const [name, value] of rows) {
    const row = body.insertRow();
    row.append(made("th", name), made("td", value));
  }
  return body;
}

function svg(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

/** P(generated) of the image as it is and after each delivery, with the threshold. */
function curve(answer) {
  const rows = [["as it is", answer.score], ...Object.entries(answer.deliveries)];
  const left = 120, right = 560, height = 20 * rows.length + 26;
  const place = (value) => left + (right - left) * value;
  const plot = svg("svg", { viewBox: `0 0 640 ${height}`, role: "img", "aria-label": "P(generated) by delivery" });
  plot.append(svg("line", { class: "limit", x1: place(answer.threshold), x2: place(answer.threshold), y1: 2, y2: height - 22 }));
  rows.forEach(([name, value], k) => {
    const y = 20 * k + 12;
    plot.append(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, name));
    plot.append(svg("line", { class: "axis", x1: left, x2: right, y1: y, y2: y }));
    plot.append(svg("circle", { class: `dot${answer.flips.includes(name) ? " flip" : ""}`, cx: place(value), cy: y, r: 4.5 }));
    plot.append(svg("text", { x: right + 12, y: y + 4 }, shown(value)));
  });
  for (const value of [0, 0.5, 1]) plot.append(svg("text", { x: place(value), y: height - 6, "text-anchor": "middle" }, String(value)));
  return plot;
}

function report(article, answer) {
  const words = { generated: "generated", real: "real", unsure: "unsure" };
  const side = made("div");
  side.append(made("p", words[answer.verdict] ?? "", `verdict ${answer.verdict}`));
  side.append(made("p", `P(generated) ${shown(answer.score)}, threshold ${shown(answer.threshold)}`));
  const why = [];
  if (answer.flips.length) why.push(`the verdict changes after ${answer.flips.join(", ")}`);
  if (answer.error) why.push(`not scored by ${answer.error}`);
  if (answer.verdict === "unsure" && !why.length) why.push("the checkpoints disagree");
  if (why.length) side.append(made("p", why.join("; "), "soft"));
  side.append(table(Object.entries(answer.votes).map(([name, value]) => [name, shown(value)])));
  if (Object.keys(answer.deliveries).length) side.append(curve(answer));
  side.append(table(Object.entries(answer.metadata).map(([name, value]) => [name, String(value)])));
  side.append(made("p", "A score is an indication and not proof; detectors fail on generators they have not seen.", "soft"));
  article.append(side);
  const maps = Object.entries(answer.maps);
  if (maps.length) {
    const all = made("div", "", "maps");
    for (const [name, address] of maps) {
      const figure = made("figure"), image = made("img");
      image.src = address;
      image.alt = `map ${name}`;
      figure.append(image, made("figcaption", name));
      all.append(figure);
    }
    article.append(all);
  }
  article.dataset.verdict = answer.verdict;
  at("print").disabled = false;
}

/** Sends one image; waits and tries again while the server is full. */
async function sent(content) {
  const query = `maps=1&deliveries=${at("deliveries").checked ? 1 : 0}`;
  for (let k = 0; k < TRIES; k += 1) {
    const reply = await fetch(`score?${query}`, { method: "POST", headers: { "Content-Type": "application/octet-stream", ...headers() }, body: content });
    if (reply.status !== 503) return [reply.status, await reply.json()];
    await pause(Number(reply.headers.get("Retry-After") ?? 1));
  }
  return [503, { error: "the server is full; try again later" }];
}

async function score(image) {
  const article = made("article"), state = made("p", "is being scored …", "soft"), preview = made("img");
  preview.alt = "";
  preview.addEventListener("error", () => preview.remove()); // a format that this browser cannot show
  preview.src = URL.createObjectURL(image);
  article.append(made("h2", image.name), preview, state);
  reports.prepend(article);
  try {
    const [status, answer] = await sent(image);
    state.remove();
    if (status === 200) report(article, answer);
    else { article.dataset.verdict = "none"; article.append(made("p", answer.error, "soft")); }
    if (status === 401) at("login").hidden = false;
  } catch {
    state.textContent = "The program does not reply. Start it again.";
  }
}

async function scoreAll(images) {
  for (const image of images) await score(image);
  document.body.dataset.done = String(reports.children.length);
}

async function welcome() {
  const reply = await fetch("models", { headers: headers() });
  at("login").hidden = reply.ok;
  if (!reply.ok) { note.textContent = (await reply.json()).error; return; }
  note.textContent = "";
  const { models, deliveries } = await reply.json();
  at("models").textContent = Object.entries(models).map(([name, one]) => `${name} (${one.detector})`).join(", ");
  at("deliveries").parentElement.hidden = !deliveries.length;
  at("deliveries").checked = deliveries.length > 0;
  document.body.dataset.ready = "1";
}

file.addEventListener("change", () => { scoreAll([...file.files]); });
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => { event.preventDefault(); scoreAll([...event.dataTransfer.files]); });
at("print").addEventListener("click", () => window.print());
at("login").addEventListener("submit", (event) => { event.preventDefault(); token = at("token").value; welcome(); });
welcome();
