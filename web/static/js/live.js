// Parts that ask for themselves again: every data-poll seconds, only while somebody looks.
const last = new WeakMap();

setInterval(() => {
  if (document.hidden) return;
  const now = performance.now();
  for (const part of document.querySelectorAll("[data-poll]")) {
    if (!last.has(part)) last.set(part, now);
    const busy = part.classList.contains("htmx-request") || part.contains(document.activeElement);
    if (busy || now - last.get(part) < Number(part.dataset.poll) * 1000) continue;
    last.set(part, now);
    window.htmx.trigger(part, "poll");
  }
}, 500);
