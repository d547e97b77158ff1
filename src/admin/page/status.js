// Reads the status as it comes, and has it shown.

import { make, show, time } from "./view.js";
import { drawWindow } from "./chart.js";

const $ = (id) => document.getElementById(id);

/** An EventSource that was answered with anything but a stream never comes back by itself. */
const AGAIN = 5000;
/** How often the status is asked for meanwhile: there are places for so many who watch, and for everybody who asks. */
const POLL = 2000;

let source;
let again;
let poll;
/** What is shown was asked for, and not sent. */
let asks = false;
let paused = false;
let latest;
/** When the newest one came, and when it was begun to wait for the next. */
let at = 0;
let asked = 0;

function listen() {
  asked = Date.now();
  source = new EventSource("status/events");
  source.onmessage = ({ data }) => {
    stopAsking();
    take(JSON.parse(data));
  };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) {
      again = setTimeout(listen, AGAIN);
      if (!poll) pollNow();
    }
    tell();
  };
}

function take(status) {
  latest = status;
  at = Date.now();
  if (!paused) render();
}

/** Asks for the status, again and again, until events come. */
async function pollNow() {
  const mine = (poll = setTimeout(pollNow, POLL));
  try {
    const answer = await fetch("status");
    if (!answer.ok) return;
    const status = await answer.json();
    // Events may have come in between, and be newer.
    if (poll !== mine) return;
    asks = true;
    take(status);
  } catch {
    // Nobody answers, which shows by how old it is what is shown.
  }
}

function stopAsking() {
  clearTimeout(poll);
  poll = undefined;
  asks = false;
}

/** Nobody looks: respool need not say anything. */
function leave() {
  clearTimeout(again);
  stopAsking();
  source.close();
}

function render() {
  show(latest, ask);
  tell();
}

/** Says how new it is what is shown. It is read out when that changes, and not each second. */
function tell() {
  const closed = source.readyState === EventSource.CLOSED && !asks;
  const lost = Date.now() - Math.max(at, asks ? 0 : asked) > 4000 || closed;
  let words = asks ? asking(latest.watchers) : "Live.";
  if (paused) words = "Paused.";
  else if (at === 0) words = lost ? "respool does not answer." : "Connecting.";
  else if (lost) words = `Connection lost: this is how it was at ${new Date(at).toLocaleTimeString("en-GB")}.`;
  const kind = `link ${paused ? "odd" : at > 0 && lost ? "bad" : at > 0 ? "good" : ""}`;
  const link = $("link");
  if (link.textContent !== words) link.textContent = words;
  if (link.className !== kind) link.className = kind;
  document.body.classList.toggle("stale", at > 0 && lost && !paused);
}

/** Why it is not live, and how new it is all the same. */
function asking({ used, limit }) {
  const why = used < limit ? "There is no live view" : `${limit} watch live already, and no more can`;
  return `${why}: asked again every ${POLL / 1000} s.`;
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  if (!paused && latest) render();
  tell();
});

$("drain").addEventListener("click", () => ask("drain"));

/** Asks whether it is meant, and then for it. */
function ask(action, stream) {
  const drain = action === "drain";
  $("ask-name").textContent = drain ? "Drain?" : `Purge stream #${stream.number}?`;
  $("ask-words").textContent = drain
    ? `respool stops accepting, cuts its clients within ${time(latest.drain.time_seconds)}, and ends. This cannot be taken back.`
    : `What stream #${stream.number} (${stream.key}, ${stream.route}) retains is forgotten. Clients that come back for it, or are behind, find a gap.`;
  $("ask-yes").textContent = drain ? "Drain and end" : "Purge it";
  const dialog = $("ask");
  dialog.returnValue = "no";
  dialog.onclose = () => {
    if (dialog.returnValue === "yes") post(drain ? "drain" : `purge/${stream.number}`);
  };
  dialog.showModal();
}

async function post(path) {
  let words;
  try {
    const answer = await fetch(path, { method: "POST" });
    words = (await answer.text()).trim();
  } catch {
    words = "respool did not answer.";
  }
  const said = make("li", "said", make("b", "", "Done"), make("span", "", words));
  said.dataset.key = "said";
  document.querySelector("#said").replaceChildren(said);
}

drawWindow(
  $("window-example"),
  { events: 7, events_limit: 10, bytes: 4, bytes_limit: 10, oldest_seconds: 8, age_limit_seconds: 10 },
  5,
);
listen();
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
window.addEventListener("resize", () => latest && !paused && render());
setInterval(tell, 1000);
