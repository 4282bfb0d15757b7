// Approvers and waiting concern only rules that approve: fold them away for the others.
const action = document.querySelector("[data-action]");
const part = document.querySelector(".only-approve");
if (action && part) {
  action.addEventListener("change", () => part.toggleAttribute("data-folded", action.value !== "approve"));
}
