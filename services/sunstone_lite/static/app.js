// What the pages gain with scripts on: fresh data, a selection bar, questions in place, keys. Without it all still works.

import { morph } from "./morph.js";
import { startLive } from "./live.js";
import { startSelection } from "./selection.js";
import { startKeys } from "./keys.js";

const TOAST_MS = 7000;
const TYPING_PAUSE_MS = 220;

document.documentElement.classList.add("js");

const live = startLive(morph);
startSelection();
startKeys();
startToasts();
startFilter();

for (const form of document.querySelectorAll("[data-submit-on-change]")) {
  form.addEventListener("change", () => form.submit());
}

// On a phone the menu is one line that scrolls: start where we are.
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A second click must not make a second machine.
for (const form of document.querySelectorAll("[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
});

function startToasts() {
  const toasts = document.getElementById("toasts");
  toasts.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".toast").remove());
  // failures stay until they are closed
  for (const toast of toasts.querySelectorAll(".toast.good")) setTimeout(() => toast.remove(), TOAST_MS);
}

function startFilter() {
  const form = document.querySelector("[data-filter]");
  if (!form) return;
  let pause;
  const apply = () => {
    const asked = new URLSearchParams(new FormData(form));
    if (!asked.get("q")) asked.delete("q");
    const query = asked.toString();
    history.replaceState(null, "", query ? `${form.action}?${query}` : form.action);
    live.refresh();
  };
  form.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(apply, TYPING_PAUSE_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(pause);
    apply();
  });
}
