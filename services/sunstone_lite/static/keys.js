// Keys: "/" searches, "?" helps, "n" makes a new one, "g d" and "g v" go places.

const SECOND_KEY_MS = 1200;
const PLACES = { d: "/", v: "/vms" };

export function startKeys() {
  const help = document.getElementById("help");
  let waiting = 0;
  document.getElementById("help-open")?.addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const second = Date.now() < waiting;
    waiting = event.key === "g" ? Date.now() + SECOND_KEY_MS : 0;
    if (second && PLACES[event.key]) return location.assign(PLACES[event.key]);
    const act = { "/": () => focus("search"), "?": () => help.showModal(), n: () => document.getElementById("new")?.click() }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function typing(element) {
  return element.matches('input:not([type="checkbox"]), textarea, select, [contenteditable]');
}

function focus(id) {
  const field = document.getElementById(id);
  field?.focus();
  field?.select();
}
