// Times in the viewer's zone, relative when recent; the title keeps UTC.
const RECENT_S = 30 * 86400;
const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
];

export function showTimes(root) {
  for (const element of root.querySelectorAll("time[data-when]")) show(element);
  if (root.matches && root.matches("time[data-when]")) show(root);
  for (const element of root.querySelectorAll("time[data-clock-time]")) showClock(element);
}

// The present moment by the appliance's clock, in milliseconds.
export function present() {
  return Date.now() + offset();
}

// The appliance's clock may differ from this machine's (the demo shifts it): keep the difference.
function offset() {
  const stated = document.querySelector("meta[name=server-time]");
  if (!stated) return 0;
  if (!stated.dataset.offset) {
    stated.dataset.offset = String(Date.parse(stated.content) - Date.now());
  }
  return Number(stated.dataset.offset);
}

function show(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  if (!element.dataset.utc) {
    element.dataset.utc = element.title;
    element.title = `${at.toLocaleString()} here\n${element.dataset.utc}`;
  }
  element.textContent = words(at, present());
}

// A moment as a clock here shows it; with its day when it is not today.
function showClock(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const time = at.toLocaleTimeString("sv", { hour: "2-digit", minute: "2-digit" });
  const day = at.toLocaleDateString("sv");
  const today = new Date(present()).toLocaleDateString("sv");
  element.textContent = day === today ? time : `${day} ${time}`;
}

function words(at, now) {
  const seconds = (now - at.getTime()) / 1000;
  const span = Math.abs(seconds);
  if (span < 45) return seconds > -3 ? "just now" : "in moments"; // clocks differ by a little
  if (span > RECENT_S) return at.toLocaleDateString("sv"); // 2026-11-23
  const [size, unit] = UNITS.find(([limit]) => span >= limit) || UNITS[2];
  const amount = Math.max(1, Math.round(span / size));
  return seconds > 0 ? `${amount} ${unit} ago` : `in ${amount} ${unit}`;
}
