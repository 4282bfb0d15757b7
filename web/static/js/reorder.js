// Rules in order: Alt and an arrow key moves the one with the focus, dragging the grip any of them.
// Without a script the same buttons do it by a form.
document.addEventListener("keydown", (event) => {
  if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
  const rule = event.target.closest(".rule[data-name]");
  const button = rule && rule.querySelector(`[data-move=${event.key === "ArrowUp" ? "up" : "down"}]`);
  if (!button) return;
  event.preventDefault();
  button.focus();
  if (button.getAttribute("aria-disabled") !== "true") button.click();
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
  drag(list, grip.closest(".rule"), grip, event.pointerId);
});

function drag(list, rule, grip, pointer) {
  const before = names(list);
  grip.setPointerCapture(pointer);
  rule.classList.add("dragged");

  function move(event) {
    const others = [...list.children].filter((other) => other !== rule);
    const next = others.find((other) => event.clientY < middle(other));
    if (next !== rule.nextElementSibling || !next) list.insertBefore(rule, next || null);
  }

  function end(event) {
    grip.removeEventListener("pointermove", move);
    grip.removeEventListener("pointerup", end);
    grip.removeEventListener("pointercancel", end);
    rule.classList.remove("dragged");
    const after = names(list);
    if (after.join("\n") === before.join("\n")) return;
    const values = { order: after.join("\n"), name: rule.dataset.name };
    if (event.type === "pointercancel") location.reload();
    else window.htmx.ajax("POST", list.dataset.reorder, { target: "#rules", swap: "outerHTML", values });
  }

  grip.addEventListener("pointermove", move);
  grip.addEventListener("pointerup", end);
  grip.addEventListener("pointercancel", end);
}

function names(list) {
  return [...list.children].map((rule) => rule.dataset.name);
}

function middle(element) {
  const box = element.getBoundingClientRect();
  return box.top + box.height / 2;
}
