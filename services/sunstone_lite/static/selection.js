// The bar for what is ticked, and the question before something grave.

export function startSelection() {
  const bulk = document.getElementById("bulk");
  if (bulk) startBar(bulk);
  for (const form of document.querySelectorAll("#bulk, #deeds")) {
    form.addEventListener("click", (event) => {
      const button = event.target.closest("[data-confirm]");
      if (!button) return;
      event.preventDefault();
      ask(form, button);
    });
  }
}

function startBar(form) {
  const bar = form.querySelector(".bulk");
  if (!bar) return;
  const boxes = () => [...form.querySelectorAll('input[name="oid"]')];
  const show = () => {
    const all = form.querySelector("[data-all]");
    const count = boxes().filter((box) => box.checked).length;
    bar.querySelector("[data-chosen]").textContent = count;
    bar.classList.toggle("shown", count > 0);
    if (!all) return;
    all.checked = count > 0 && count === boxes().length;
    all.indeterminate = count > 0 && !all.checked;
  };
  const setAll = (on) => {
    for (const box of boxes()) box.checked = on;
    show();
  };
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) setAll(event.target.checked);
    show();
  });
  bar.querySelector("[data-clear]").addEventListener("click", () => setAll(false));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) setAll(false);
  });
  document.addEventListener("merged", show);
  // nothing ticked before is still meant when somebody comes back to the page
  addEventListener("pageshow", () => setAll(false));
}

function ask(form, button) {
  const names = namesOf(form);
  if (!names.length) return;
  const dialog = document.getElementById("ask");
  const part = (name) => dialog.querySelector(`[data-ask-${name}]`);
  part("title").textContent = `${button.dataset.confirm} (${names.length})`;
  part("warning").textContent = button.dataset.warning;
  part("names").replaceChildren(...names.map((name) => Object.assign(document.createElement("li"), { textContent: name })));
  part("yes").textContent = button.dataset.confirm;
  part("yes").className = button.dataset.tone;
  part("no").onclick = () => dialog.close();
  part("yes").onclick = () => {
    part("yes").disabled = true;
    send(form, button.value);
  };
  dialog.showModal();
  part("no").focus();
}

function namesOf(form) {
  if (form.dataset.one) return [form.dataset.one];
  return [...form.querySelectorAll('input[name="oid"]:checked')].map((box) => {
    const row = box.closest("tr");
    return `${row.dataset.name} (#${row.dataset.key})`;
  });
}

function send(form, action) {
  for (const [name, value] of Object.entries({ action, confirmed: "yes" })) {
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  }
  form.submit();
}
