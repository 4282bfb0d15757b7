// Plays a session again at its pace: the list lights up statement by statement, the head moves
// along the ticks. Everything it shows is in the page; without a script the list reads as it is.
const replay = document.querySelector("[data-replay]");
const toggle = replay && replay.querySelector("[data-toggle]");
if (toggle) {
  // after htmx has seen the page: it loads what is opened here
  if (document.readyState === "complete") start();
  else addEventListener("load", start);
}

function start() {
  const speed = replay.querySelector("[data-speed]");
  const clock = replay.querySelector("[data-clock]");
  let at = 0; // seconds of the replay
  let playing = false;
  let frame = 0;
  let before = 0;
  let current = null;
  let chosen = null; // what a jump went to: others may have the same moment

  const statements = () => [...replay.querySelectorAll(".statement")];
  const length = () => Number(replay.querySelector(".scrubber").dataset.length || 0);
  const seen = (list) => list.filter((one) => Number(one.dataset.play) <= at + 0.0005).at(-1);

  function show(scroll) {
    const list = statements();
    const now = chosen || seen(list) || null;
    if (now !== current) {
      if (current) current.classList.remove("current");
      if (now) now.classList.add("current");
      current = now;
      if (now && scroll) now.scrollIntoView({ block: "nearest", behavior: calm() });
    }
    replay.classList.toggle("under-way", playing);
    for (const one of list) one.classList.toggle("ahead", Number(one.dataset.play) > at + 0.0005);
    const whole = length() || 1;
    const head = replay.querySelector("[data-head]");
    const range = replay.querySelector("[data-range]");
    if (head) head.setAttribute("x", String(Math.min(at / whole, 1) * 997 - 2));
    if (range) {
      range.value = String(at);
      range.setAttribute("aria-valuetext", now ? `statement ${now.dataset.seq}, ${words(at)}` : words(at));
    }
    clock.textContent = `${words(at)} / ${words(length())}`;
  }

  function step(time) {
    if (!playing) return;
    at = Math.min(at + ((time - before) / 1000) * Number(speed.value), length());
    before = time;
    chosen = null;
    show(true);
    if (at >= length()) return finish();
    frame = requestAnimationFrame(step);
  }

  function finish() {
    const next = replay.dataset.next;
    if (next) location.href = `${next}&play=${speed.value}`;
    else setPlaying(false);
  }

  function setPlaying(wanted) {
    playing = wanted;
    cancelAnimationFrame(frame);
    toggle.querySelector("span").textContent = playing ? "Pause" : "Play";
    const use = toggle.querySelector("use");
    use.setAttribute("href", use.getAttribute("href").replace(/#.*/, playing ? "#pause" : "#play"));
    toggle.setAttribute("aria-pressed", String(playing));
    if (playing) {
      if (at >= length()) at = 0;
      before = performance.now();
      frame = requestAnimationFrame(step);
    } else if (current) {
      history.replaceState(null, "", `#${current.id}`);
    }
    show(false);
  }

  function goTo(statement, open) {
    at = Number(statement.dataset.play);
    chosen = statement;
    show(false);
    statement.scrollIntoView({ block: "center", behavior: calm() });
    if (open) statement.querySelector("details").open = true;
    history.replaceState(null, "", `#${statement.id}`);
  }

  toggle.addEventListener("click", () => setPlaying(!playing));
  replay.addEventListener("input", (event) => {
    if (!event.target.matches("[data-range]")) return;
    at = Number(event.target.value);
    chosen = null;
    show(true);
  });
  replay.addEventListener("click", (event) => {
    const jump = event.target.closest("[data-jump]");
    if (!jump) return;
    const fits = {
      error: (one) => one.dataset.state === "failed",
      hold: (one) => one.dataset.verdict === "hold",
      mask: (one) => "masked" in one.dataset,
      refusal: (one) => ["refused", "held"].includes(one.dataset.state),
    }[jump.dataset.jump];
    const after = current ? Number(current.dataset.seq) : 0;
    const next = statements().find((one) => Number(one.dataset.seq) > after && fits(one));
    if (next) {
      event.preventDefault();
      goTo(next, true);
    } else {
      const url = new URL(jump.href); // it may stand in another part of the session
      url.searchParams.set("after", String(after));
      jump.href = url.href;
    }
  });
  // What arrives in a live session, and what was re-made, takes its place in the replay.
  document.addEventListener("htmx:afterSettle", () => show(false));

  const asked = location.hash.match(/^#s(\d+)$/);
  if (asked) {
    const statement = document.getElementById(asked[0].slice(1));
    if (statement) goTo(statement, true);
    else location.replace(`${replay.dataset.page}?s=${asked[1]}${asked[0]}`);
  }
  const wanted = replay.dataset.plays;
  if ([...speed.options].some((option) => option.value === wanted)) {
    speed.value = wanted;
    setPlaying(true);
  } else {
    show(false);
  }
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

function words(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
