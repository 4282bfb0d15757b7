// Copy the text beside a button and say that it was done.
const SHOWN_MS = 1600;

export async function copyFrom(button) {
  const source = button.closest("[data-copy]").querySelector("pre, code");
  const label = button.querySelector("span");
  const before = label.dataset.before || label.textContent;
  label.dataset.before = before;
  label.textContent = (await put(source)) ? "Copied" : "Press Ctrl-C";
  button.setAttribute("aria-live", "polite");
  setTimeout(() => (label.textContent = before), SHOWN_MS);
}

async function put(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    // Over plain http browsers have no clipboard: select the text for the person's own Ctrl-C.
    const range = document.createRange();
    range.selectNodeContents(source);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  }
}
