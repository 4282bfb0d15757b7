// Ticks many boxes at once, and says on the button how many. Without a script links do the first.
function count(form) {
  const ticked = form.querySelectorAll("input[type=checkbox]:checked").length;
  const button = form.querySelector("[data-choose-button]");
  if (!button) return;
  button.textContent =
    ticked === 1 ? "Sign this statement" : ticked ? `Sign these ${ticked} statements` : "Sign the ticked statements";
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-choose-set]");
  const form = link && link.closest("[data-choose]");
  if (!form) return;
  event.preventDefault();
  for (const box of form.querySelectorAll("input[type=checkbox]")) {
    box.checked = link.dataset.chooseSet === "all" || (link.dataset.chooseSet === "ran" && "ran" in box.dataset);
  }
  count(form);
});

document.addEventListener("change", (event) => {
  const form = event.target.closest("[data-choose]");
  if (form) count(form);
});

document.addEventListener("htmx:afterSwap", () => document.querySelectorAll("[data-choose]").forEach(count));
document.querySelectorAll("[data-choose]").forEach(count);
