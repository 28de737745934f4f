// Images picked in a plot or table: one filter for everything below it, kept in the address as k=KIND:…

/**
 * Kind of pick to what makes it of the texts after its name: title, test(i), whether thresholds move it, and beside(i) of
 * the real images that it is only compared with. Its mask has 2 and 1 of these.
 */
const PICKS = {};

function picked(address) {
  const [kind, ...rest] = address.split(":"), found = kind in PICKS ? PICKS[kind](rest) : null;
  if (!found) return null;
  const mask = new Uint8Array(N);
  for (let i = 0; i < N; i++) mask[i] = found.test(i) ? 2 : found.beside && found.beside(i) ? 1 : 0;
  return { address, mask, title: found.title, moves: found.moves };
}

function pick(address) {
  changed("pick", state.pick && state.pick.address === address ? null : picked(address));
}

/** Counts again what a pick holds after thresholds have moved; whether it had to. */
function pickMoved() {
  if (!state.pick || !state.pick.moves) return false;
  state.pick = picked(state.pick.address);
  return true;
}

/** A count that picks its images. */
function pickButton(number, address, name) {
  const button = element("button", "", number.toLocaleString("en"));
  button.type = "button";
  button.setAttribute("aria-label", `${number} images: ${name}`);
  button.setAttribute("aria-pressed", String(state.pick !== null && state.pick.address === address));
  button.addEventListener("click", () => pick(address));
  return button;
}

function showPick() {
  const off = document.getElementById("unpick");
  off.hidden = state.pick === null;
  if (!state.pick) return;
  off.textContent = `${state.pick.title} ✕`;
  off.setAttribute("aria-label", `all images again, not only: ${state.pick.title}`);
}

document.getElementById("unpick").addEventListener("click", () => changed("pick", null));
