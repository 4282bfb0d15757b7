// Approvers and waiting concern only rules that approve: put them away for the others, so that
// what stands in them is not sent. What was answered about the rule says when it is of before.
const form = document.querySelector("[data-rule-form]");
const action = form && form.querySelector("[data-action]");
const part = form && form.querySelector("[data-only-approve]");

function fold() {
  const away = action.value !== "approve";
  part.toggleAttribute("data-folded", away);
  part.disabled = away;
}

if (action && part) {
  fold();
  action.addEventListener("change", fold);
  addEventListener("pageshow", fold); // a form that the browser filled in again
}

if (form) {
  form.addEventListener("input", () => {
    const answer = form.querySelector("[data-answer]");
    if (answer) answer.dataset.answer = "of before";
  });
}
