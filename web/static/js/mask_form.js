// Only the method fixed has a value: put the field away for the others.
const form = document.querySelector("[data-mask-form]");
const method = form && form.querySelector("[data-method]");
const part = form && form.querySelector("[data-only-fixed]");

function fold() {
  part.hidden = method.value !== "fixed";
}

if (method && part) {
  fold();
  method.addEventListener("change", fold);
  addEventListener("pageshow", fold); // a form that the browser filled in again
}
