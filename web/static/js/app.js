// What pages gain with a script: local times, copy buttons, keys, and words on a lost connection.
// Every page works without it.
import { showTimes } from "./times.js";
import { copyFrom } from "./copy.js";

document.documentElement.classList.add("has-script");

function prepare(root) {
  showTimes(root);
}

document.addEventListener("DOMContentLoaded", () => prepare(document));
if (document.readyState !== "loading") prepare(document);
document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
setInterval(() => showTimes(document), 30000);

// A list is loaded anew while somebody types. Leaving the field afterwards says "change": loaded
// once more then, it would lose the tick that was just made in it.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-list-search]")) event.stopPropagation();
}, true);

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy-button]");
  if (button) copyFrom(button);
  const sheet = document.querySelector("details[data-sheet][open]");
  if (sheet && !sheet.contains(event.target)) sheet.open = false;
});

// "/" goes to the search over everything where it is seen (on a desk), else to the page's own list.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape") {
    const sheet = document.querySelector("details[data-sheet][open]");
    if (sheet) {
      sheet.open = false;
      sheet.querySelector("summary").focus();
    }
  }
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const searches = document.querySelectorAll("[data-global-search], [data-list-search]");
  const search = [...searches].find((one) => one.offsetParent !== null);
  if (search) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

// A live part says when it is no longer live.
function setLive(element, isLive) {
  const sign = element.closest("[data-live]") || element.querySelector("[data-live]");
  if (sign) sign.dataset.live = isLive ? "on" : "lost";
}
document.addEventListener("htmx:sseOpen", (event) => setLive(event.target, true));
document.addEventListener("htmx:sseError", (event) => setLive(event.target, false));

// A live list keeps its newest entries only.
document.addEventListener("htmx:sseMessage", (event) => {
  const list = event.target;
  const most = Number(list.dataset.most || 0);
  while (most && list.children.length > most) list.lastElementChild.remove();
});

// When the server cannot be reached, say so instead of doing nothing.
document.addEventListener("htmx:sendError", () => announce("Gatepost cannot be reached just now. Nothing was changed."));
document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status !== 401) announce(`Gatepost answered ${status}. Reload the page to see what is stored.`);
});

function announce(text) {
  let note = document.getElementById("connection-note");
  if (!note) {
    note = document.createElement("div");
    note.id = "connection-note";
    note.className = "note bad";
    note.setAttribute("role", "alert");
    document.querySelector("main").prepend(note);
  }
  note.textContent = text;
}
