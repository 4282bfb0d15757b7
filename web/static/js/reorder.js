// Rules in order: Alt and an arrow key moves the one with the focus, dragging the grip any of them.
// Without a script the same buttons do it by a form. Escape takes a drag back.
const EDGE = 60; // so near to the window's edge the page scrolls along, in px
const STEP = 14;

document.addEventListener("keydown", (event) => {
  if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
  const rule = event.target.closest(".rule[data-name]");
  const direction = event.key === "ArrowUp" ? "up" : "down";
  const button = rule && rule.querySelector(`[data-move=${direction}]`);
  if (!button) return;
  event.preventDefault();
  button.focus(); // its successor in the new list has the same id, so the focus stays with the rule
  if (button.getAttribute("aria-disabled") === "true") return;
  send(rule.closest("[data-reorder]"), { name: rule.dataset.name, direction });
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-move][aria-disabled=true]");
  if (button) event.preventDefault();
});

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest("[data-grip]");
  const list = grip && grip.closest("[data-reorder]");
  if (!list || event.button !== 0) return;
  event.preventDefault();
  drag(list, grip.closest(".rule"));
});

// Listens on the document: a pointer's capture would be lost as the rule moves in the page.
function drag(list, rule) {
  const before = names(list);
  rule.classList.add("dragged");

  function move(event) {
    if (event.clientY < EDGE) scrollBy(0, -STEP);
    else if (event.clientY > innerHeight - EDGE) scrollBy(0, STEP);
    const others = [...list.children].filter((other) => other !== rule);
    const next = others.find((other) => event.clientY < middle(other));
    if (next !== rule.nextElementSibling || !next) list.insertBefore(rule, next || null);
  }

  function end(event) {
    document.removeEventListener("pointermove", move);
    document.removeEventListener("pointerup", end);
    document.removeEventListener("pointercancel", end);
    document.removeEventListener("keydown", leave);
    rule.classList.remove("dragged");
    if (event.type !== "pointerup") return putBack(list, before);
    const after = names(list);
    if (after.join("\n") === before.join("\n")) return;
    send(list, { order: after.join("\n"), name: rule.dataset.name });
  }

  function leave(event) {
    if (event.key === "Escape") end(event);
  }

  document.addEventListener("keydown", leave);
  document.addEventListener("pointermove", move);
  document.addEventListener("pointerup", end);
  document.addEventListener("pointercancel", end);
}

function send(list, values) {
  window.htmx.ajax("POST", list.dataset.reorder, { target: "#rules", swap: "outerHTML", values });
}

function putBack(list, order) {
  const rules = new Map([...list.children].map((rule) => [rule.dataset.name, rule]));
  for (const name of order) list.append(rules.get(name));
}

function names(list) {
  return [...list.children].map((rule) => rule.dataset.name);
}

function middle(element) {
  const box = element.getBoundingClientRect();
  return box.top + box.height / 2;
}
