// Approvals as they come. The stream says which requests wait; what differs is fetched, so that
// nothing is missed after a lost connection and a reason that is being typed is never overwritten.
import { present, showTimes } from "./times.js";

const queue = document.querySelector("[data-queue]");
const news = document.querySelector("[data-news]");
const onTheirWay = new Set();
const title = document.title;
const STAYS_S = 60;
const SETTLES_MS = 600; // a click that was on its way as the cards moved is for nobody
let settling = 0;

document.addEventListener("htmx:sseBeforeMessage", (event) => {
  if (!event.target.matches("[data-requests]")) return;
  event.preventDefault();
  const told = JSON.parse(event.detail.data);
  showNumber(told.mine);
  reconcile(told.waiting);
});

async function reconcile(waiting) {
  for (const card of document.querySelectorAll("[data-request][data-state=waiting]")) {
    if (!waiting.includes(Number(card.dataset.request))) fetchCard(card);
  }
  if (!queue) return;
  for (const number of [...waiting].reverse()) {
    if (document.getElementById(`r-${number}`) || onTheirWay.has(number)) continue;
    onTheirWay.add(number);
    await window.htmx.ajax("GET", `/approvals/${number}/card`, { target: "#queue", swap: "afterbegin" });
    onTheirWay.delete(number);
    holdStill();
    const card = document.getElementById(`r-${number}`);
    if (card && news) news.textContent = `New: ${card.querySelector("h2").textContent}`;
  }
}

function holdStill() {
  queue.setAttribute("data-settling", "");
  clearTimeout(settling);
  settling = setTimeout(() => queue.removeAttribute("data-settling"), SETTLES_MS);
}

function fetchCard(card) {
  const alone = card.hasAttribute("data-alone") ? "?alone=1" : "";
  const url = `/approvals/${card.dataset.request}/card${alone}`;
  window.htmx.ajax("GET", url, { target: `#${card.id}`, swap: "outerHTML" });
}

// A card that may no longer be read (a right was taken) does not stay.
document.addEventListener("htmx:responseError", (event) => {
  const card = event.detail.target;
  if (event.detail.xhr.status === 404 && card && card.matches("[data-request]")) card.remove();
});

// What was decided joins the list below, and leaves the queue a while after its end is known.
document.addEventListener("htmx:afterSettle", (event) => {
  if (queue && event.target.matches("[data-request].settled")) refreshList();
});

async function refreshList() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("list");
  const list = document.getElementById("list");
  if (!fresh || !list || list.contains(document.activeElement)) return;
  list.replaceWith(fresh);
  showTimes(fresh);
}

function clearSettled() {
  for (const card of queue ? queue.querySelectorAll(".settled:not(:hover, :focus-within)") : []) {
    const isFinal = !card.querySelector("[hx-trigger]");
    card.dataset.age = isFinal ? Number(card.dataset.age || 0) + 1 : 0;
    if (card.dataset.age > STAYS_S) card.remove();
  }
}

// The number in the navigation and in the tab follows what waits for this person.
function showNumber(mine) {
  for (const link of document.querySelectorAll("nav:not(.crumbs) a[href='/approvals']")) {
    let number = link.querySelector(".waiting");
    if (!mine) {
      if (number) number.remove();
      continue;
    }
    if (!number) {
      number = document.createElement("span");
      number.className = "waiting";
      link.append(number);
    }
    number.textContent = String(mine);
    number.title = `${mine} waiting`;
  }
  document.title = mine ? `(${mine}) ${title}` : title;
}

// Keys: on a card that has the focus; typing in its field is typing.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const card = event.target.closest("[data-request]");
  if (event.key === "j" || event.key === "k") return step(event, card, event.key === "j" ? 1 : -1);
  if (!card || event.target.closest("a, button")) return;
  const button = card.querySelector(
    { a: "[name=decision][value=approve]", d: "[name=decision][value=deny]" }[event.key] || "none",
  );
  if (!button) return;
  event.preventDefault();
  button.click();
});

function step(event, card, by) {
  const cards = [...document.querySelectorAll("[data-request]")];
  const first = document.querySelector("[data-request][data-state=waiting]") || cards[0];
  const next = card ? cards[cards.indexOf(card) + by] : first;
  if (!next) return;
  event.preventDefault();
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

// A no needs a reason: ask for it here, before the server does.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-decide] [name=decision]");
  if (!button) return;
  const reason = button.form.elements.reason;
  reason.setCustomValidity("");
  if (button.value === "deny" && !reason.value.trim()) {
    event.preventDefault();
    reason.focus();
    reason.setCustomValidity("Say why not: who asked reads it.");
    reason.reportValidity();
  }
});
document.addEventListener("input", (event) => {
  if (event.target.matches("[data-decide] [name=reason]")) event.target.setCustomValidity("");
});

// How long there is to decide, by the second.
function tick() {
  for (const element of document.querySelectorAll("time[data-left]")) {
    const seconds = Math.max(0, Math.floor((Date.parse(element.dateTime) - present()) / 1000));
    element.textContent = seconds ? `${clock(seconds)} left` : "time is over";
    element.classList.toggle("soon", seconds < 60);
  }
}
tick();
setInterval(tick, 1000);
setInterval(clearSettled, 1000);
document.addEventListener("htmx:load", tick);

function clock(seconds) {
  if (seconds >= 2 * 86400) return `${Math.round(seconds / 86400)} d`;
  if (seconds >= 2 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
