// The tables of slices, and the images behind the cells of the confusion matrix.

function showSlices() {
  const off = document.getElementById("unslice"), column = D.slices[state.column];
  off.hidden = state.value < 0;
  if (state.value >= 0) {
    off.textContent = `${column.name}: ${column.values[state.value]} ✕`;
    off.setAttribute("aria-label", `all images again, not only ${column.name}: ${column.values[state.value]}`);
  }
  if (!column) return;
  document.getElementById("by-column").value = state.column;
  for (const table of document.querySelectorAll("table.slice")) {
    table.hidden = Number(table.dataset.column) !== state.column;
    for (const line of table.tBodies[0].rows) {
      const on = !table.hidden && Number(line.dataset.value) === state.value, button = line.querySelector("button");
      line.classList.toggle("on", on);
      if (button) button.setAttribute("aria-pressed", String(on));
    }
  }
}

/** The order and label that list exactly the images that a cell counts. */
const CELLS = { tp: ["hit", 1], fn: ["missed", 1], fp: ["alarm", 0], tn: ["passed", 0] };

function openCell({ cell, dump }) {
  const [order, kind] = CELLS[cell];
  Object.assign(state, { order, label: kind, by: Number(dump) });
  everything();
  remember();
  document.getElementById("gallery").scrollIntoView();
  focusCard(0);
}

if (D.slices.length) {
  document.getElementById("by-column").addEventListener("change", (event) => {
    const filtered = state.value >= 0;
    Object.assign(state, { column: Number(event.target.value), value: -1 });
    if (filtered) everything(); else showSlices();
    remember();
  });
  document.getElementById("slices").addEventListener("click", (event) => {
    const line = event.target.closest("tbody tr");
    if (line) changed("value", Number(line.dataset.value) === state.value ? -1 : Number(line.dataset.value));
  });
}
document.getElementById("unslice").addEventListener("click", () => changed("value", -1));
document.getElementById("confusion").addEventListener("click", (event) => { if (event.target.dataset.cell) openCell(event.target.dataset); });

/** Images of one class that a tracer takes for one. */
PICKS.source = ([d, one, two]) => {
  const traced = D.dumps[d] && D.dumps[d].traced;
  if (!traced || !traced.classes[one] || !traced.classes[two]) return null;
  const truth = valuesOf(traced.truth), answer = valuesOf(traced.answer);
  return { title: `${traced.classes[one]}, called ${traced.classes[two]}`, moves: false, test: (i) => truth(i) === Number(one) && answer(i) === Number(two) };
};

for (const button of document.querySelectorAll("[data-pick]")) button.addEventListener("click", () => {
  state.pick = picked(button.dataset.pick);
  Object.assign(state, { order: "all", label: null });
  everything();
  remember();
  document.getElementById("gallery").scrollIntoView();
  focusCard(0);
});
