// Makes one element like another with as few changes as possible, so that focus, selection and scroll stay.
// Children are matched by data-key, else by place. While the pointer rests on a table, its rows keep their places:
// nobody should click on what has just moved under the cursor.

const KEPT = new Set(["open", "checked", "hidden"]);

// Tells whether `target` now is like `source`; false when something was held back for the pointer's sake.
export function morph(target, source) {
  syncAttributes(target, source);
  if (target.matches("tbody:hover")) return syncRowsInPlace(target, source);
  const keyed = keyedChildren(target);
  let at = target.firstChild;
  let complete = true;
  for (const wanted of [...source.childNodes]) {
    const found = match(at, wanted, keyed);
    if (!found) {
      target.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    if (found !== at) target.insertBefore(found, at);
    else at = at.nextSibling;
    complete = update(found, wanted) && complete;
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
  return complete;
}

function match(at, wanted, keyed) {
  const key = keyOf(wanted);
  if (key !== null) {
    const found = keyed.get(key);
    return found && found.nodeName === wanted.nodeName ? found : null;
  }
  return at && at.nodeName === wanted.nodeName && keyOf(at) === null ? at : null;
}

function update(target, source) {
  if (target.isEqualNode(source)) return true;
  if (target.nodeType !== Node.ELEMENT_NODE) {
    target.nodeValue = source.nodeValue;
    return true;
  }
  if (target === document.activeElement && target.matches("input, select, textarea")) return true;
  return morph(target, source);
}

function syncRowsInPlace(target, source) {
  const fresh = keyedChildren(source);
  for (const row of target.children) {
    const wanted = fresh.get(keyOf(row));
    if (wanted) update(row, wanted);
  }
  const places = (rows) => [...rows.children].map(keyOf).join();
  return places(target) === places(source);
}

function syncAttributes(target, source) {
  for (const { name, value } of source.attributes) {
    if (!KEPT.has(name) && target.getAttribute(name) !== value) target.setAttribute(name, value);
  }
  for (const { name } of [...target.attributes]) {
    if (!KEPT.has(name) && !source.hasAttribute(name)) target.removeAttribute(name);
  }
}

function keyedChildren(parent) {
  return new Map([...parent.children].filter((child) => child.dataset.key).map((child) => [child.dataset.key, child]));
}

function keyOf(node) {
  return node.dataset?.key ?? null;
}
