// What the status says, put into the page. Text from outside is only ever put there as text.

import { drawAnswers, drawMinutes, drawWindow } from "./chart.js";

const $ = (id) => document.getElementById(id);

// --- words ---

const whole = (number) => Math.round(number).toLocaleString("en");
const many = (number, one, more = `${one}s`) => `${whole(number)} ${number === 1 ? one : more}`;

export function bytes(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const at = size < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(size) / 10));
  const value = size / 1024 ** at;
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

export function time(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

const share = (used, limit) => (limit > 0 ? used / limit : 0);
const percent = (used, limit) => `${Math.round(share(used, limit) * 100)} %`;
const clock = (epoch) => new Date(epoch * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

// --- elements ---

export function make(name, kind, ...inside) {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  element.append(...inside);
  return element;
}

/** Says something, unless it is said already: who selects or reads it is not disturbed. */
function say(element, words) {
  const text = String(words);
  if (element.textContent !== text) element.textContent = text;
}

function mark(element, kind) {
  if (element.className !== kind) element.className = kind;
}

/** One child of `place` for each item, by its key, in their order; those that stay are the same elements. */
function each(place, items, key, create, update) {
  const had = new Map([...place.children].map((child) => [child.dataset.key, child]));
  const focused = document.activeElement;
  let next = place.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = had.get(name);
    if (!child) {
      child = create(item);
      child.dataset.key = name;
    }
    had.delete(name);
    update(child, item);
    if (child === next) next = next.nextElementSibling;
    else place.insertBefore(child, next);
  }
  for (const gone of had.values()) gone.remove();
  // What is moved loses the focus.
  if (focused !== document.activeElement && focused?.isConnected && place.contains(focused)) focused.focus();
}

/** A row of a table, with what its cells are called where they stand below each other. */
function row(...cells) {
  const tr = make("tr");
  tr.setAttribute("role", "row");
  for (const [label, kind] of cells) {
    const cell = make(label === cells[0][0] ? "th" : "td", kind ?? "");
    cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
    if (cell.tagName === "TH") cell.scope = "row";
    cell.dataset.label = label;
    cell.append(make("div"));
    tr.append(cell);
  }
  return tr;
}

/** What stands in the cells of a row. */
const cells = (tr) => [...tr.children].map((cell) => cell.firstChild);

const svg = (kind) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  element.setAttribute("class", kind);
  element.setAttribute("aria-hidden", "true");
  return element;
};

/** Somebody else's text: its direction is its own matter. */
const quoted = (words) => {
  const element = make("bdi");
  element.textContent = words;
  return element;
};

// --- the parts of the page ---

const last = (counts, minutes) => (counts ?? []).slice(-minutes).reduce((sum, count) => sum + count, 0);
const GAPS = ["gap_expired", "gap_generation", "gap_ahead"];

/** What an operator should know first, as [how bad, words]. */
export function alerts(status) {
  const { totals, memory, upstream, reload, drain, history } = status;
  const all = [];
  const add = (so, kind, words) => so && all.push([kind, words]);
  add(drain.draining, "bad", `Draining for ${time(drain.seconds ?? 0)} of at most ${time(drain.time_seconds)}. Clients that are left: ${whole(totals.clients)}.`);
  add(
    upstream.state === "away",
    "bad",
    `The upstream is away${upstream.why ? `: ${upstream.why}` : ""}. ${many(upstream.streams_without, "stream")} without it.`,
  );
  add(
    reload.outcome === "refused",
    "bad",
    `The configuration was read ${clock(reload.last)} and refused; the former one is in force. ${reload.faults.join(" · ")}`,
  );
  add(totals.clients_past_low > 0, "bad", `${many(totals.clients_past_low, "client")} so far behind that a cut now would be a gap.`);
  add(share(memory.used, memory.limit) > 0.9, "bad", `${percent(memory.used, memory.limit)} of the memory is used: windows give way.`);
  const counts = history.counts;
  const expired = last(counts.answers.gap_expired, 5);
  add(expired > 0, "odd", `${many(expired, "gap")} in 5 minutes because clients were away for longer than their window reaches.`);
  const others = last(counts.answers.gap_generation, 5) + last(counts.answers.gap_ahead, 5);
  add(others > 0, "odd", `${many(others, "gap")} in 5 minutes by ids of another run of their stream.`);
  const cut = last(counts.cuts.stalled, 5) + last(counts.cuts.behind, 5);
  add(cut > 0, "odd", `${many(cut, "client")} cut in 5 minutes for being too slow.`);
  add(totals.waiting > 0, "odd", `${many(totals.waiting, "client")} waiting for a stream to open.`);
  add(reload.waiting.length > 0, "odd", `Changed, and waiting for a restart: ${reload.waiting.join(", ")}.`);
  const places = status.stream_places;
  add(share(places.used, places.limit) > 0.9, "odd", `${percent(places.used, places.limit)} of the streams that there may be: over that they pass without ids.`);
  return all.length ? all : [["good", "Nothing does."]];
}

const WORD = { bad: "Alert", odd: "Note", good: "Fine" };

function showAlerts(status) {
  each(
    $("alerts"),
    alerts(status),
    // By what it is about: numbers in it change all the time.
    ([kind, words]) => kind + words.replace(/[\d.,]+/g, "0"),
    ([kind]) => make("li", kind, make("b", "", WORD[kind]), make("span")),
    (item, [, words]) => say(item.lastChild, words),
  );
}

const UPSTREAM = { answering: "answering", away: "away", unknown: "not asked yet" };
const RELOAD = { loaded: "in force", unchanged: "in force, unchanged", refused: "refused, the former in force" };

function showTiles(status) {
  const { totals, memory, upstream, reload, drain, lingering, stream_places: places } = status;
  const full = (used, limit) => (share(used, limit) > 0.9 ? "bad" : "");
  const tiles = [
    ["Upstream", UPSTREAM[upstream.state] ?? upstream.state, upstream.address, upstream.state === "away" ? "bad" : ""],
    ["Clients", whole(totals.clients), `${whole(totals.clients_past_low)} past the low edge, ${whole(totals.waiting)} waiting`, totals.clients_past_low ? "bad" : ""],
    ["Streams", whole(totals.streams), `${whole(totals.streams_without_upstream)} without upstream; of ${whole(places.limit)}`, totals.streams_without_upstream ? "bad" : ""],
    ["Lingering", whole(lingering.used), `upstream connections kept for nobody; of ${whole(lingering.limit)}`, ""],
    ["Memory", bytes(memory.used), `${percent(memory.used, memory.limit)} of ${bytes(memory.limit)}`, full(memory.used, memory.limit)],
    ["Retained", many(totals.events, "event"), bytes(totals.bytes), ""],
    ["Drain", drain.draining ? `for ${time(drain.seconds ?? 0)}` : "none", `takes ${time(drain.time_seconds)}`, drain.draining ? "bad" : ""],
    ["Configuration", RELOAD[reload.outcome] ?? reload.outcome, `loaded ${clock(reload.loaded)}, ${many(reload.loads, "load")}`, reload.outcome === "refused" ? "bad" : ""],
    ["Uptime", time(status.uptime_seconds), `version ${status.version}`, ""],
  ];
  each(
    $("tiles"),
    tiles,
    ([name]) => name,
    ([name]) => make("div", "", make("dt", "", name), make("dd", "value"), make("dd", "note")),
    (tile, [, value, note, kind]) => {
      mark(tile, kind);
      say(tile.children[1], value);
      say(tile.children[2], note);
    },
  );
}

/** What is drawn above and below the line, and what is told row by row. */
const ANSWERS = [
  ["resumed", "resumed", "Resumed: got all that was missed", true],
  ["gap-expired", "gap_expired", "Gap: away for longer than the window"],
  ["gap-generation", "gap_generation", "Gap: id of another run of the stream"],
  ["gap-ahead", "gap_ahead", "Gap: id ahead of the stream"],
];
const ROWS = [
  ...ANSWERS.map(([kind, name, words]) => [kind, words, "answers", name]),
  ["", "New clients", "answers", "fresh"],
  ["", "Ids for the upstream to judge", "answers", "foreign"],
  ["trouble", "Streams that broke", "ends", "broken"],
  ["trouble", "Upstream connections that failed", "connects", "failed"],
  ["trouble", "Clients cut: upstream lost", "cuts", "lost"],
  ["trouble", "Clients cut: fell behind", "cuts", "behind"],
  ["trouble", "Clients cut: took nothing", "cuts", "stalled"],
];

function showHour({ history }) {
  const minutes = history.buckets_most;
  const counts = (of, name) => history.counts[of]?.[name] ?? [];
  const series = ANSWERS.map(([name, kind, , up]) => ({ name, up: Boolean(up), counts: counts("answers", kind) }));
  drawAnswers($("chart"), series, minutes);
  const gaps = GAPS.reduce((sum, kind) => sum + last(counts("answers", kind), minutes), 0);
  say($("chart-words"), `Resumes above the line, gaps below: ${whole(last(counts("answers", "resumed"), minutes))} resumed and ${many(gaps, "gap")} in the last hour.`);
  each(
    $("hour").tBodies[0],
    ROWS,
    ([, , of, name]) => `${of}.${name}`,
    ([kind, words]) => {
      const tr = row(["what"], ["5 min", "number"], ["1 h", "number"], ["minutes", "minutes"]);
      const [what, , , drawn] = cells(tr);
      what.append(make("span", `swatch ${kind}`), words);
      drawn.append(svg(`spark ${kind}`));
      return tr;
    },
    (tr, [, , of, name]) => {
      const own = counts(of, name);
      const [, few, all, drawn] = cells(tr);
      say(few, whole(last(own, 5)));
      say(all, whole(last(own, minutes)));
      drawMinutes(drawn.firstChild, own, minutes, Math.max(1, ...own));
    },
  );
}

const PHASE = {
  live: ["good", "live"],
  lingering: ["calm", "lingering: nobody is attached"],
  opening: ["odd", "opening"],
  down: ["bad", "no upstream"],
  ended: ["calm", "ended"],
};

/** Where a stream stands, in words. */
function phase(stream) {
  const [kind, words] = PHASE[stream.phase] ?? ["odd", stream.phase];
  const since = stream.phase_seconds === null ? "" : `for ${time(stream.phase_seconds)}`;
  return { kind, words, note: [since, stream.why].filter(Boolean).join(" · ") };
}

const name = (number) => (number === null ? "a former run" : `#${number}`);

/** How far something is behind, in words. */
const behind = (lag) => (lag.events === 0 ? "caught up" : `${many(lag.events, "event")}, ${bytes(lag.bytes)}`);

const STREAM = [["stream"], ["state"], ["window"], ["retained"], ["clients", "number"], ["furthest behind"], ["actions", "acts"]];

function showStreams(status, ask) {
  const purges = status.actions.includes("purge");
  $("streams").classList.toggle("no-acts", !purges);
  each(
    $("streams").tBodies[0],
    status.streams,
    (stream) => stream.number ?? `${stream.key}${stream.window?.generation}`,
    (stream) => {
      const tr = row(...STREAM);
      const [id, state, window, retained, , , acts] = cells(tr);
      id.append(make("b"), " ", make("code"), make("br"), quoted(stream.route), make("span", "note"));
      state.append(make("span"), make("span", "note"));
      window.append(svg("window"), make("span", "note"));
      retained.append(make("span"), make("span", "note"));
      const button = make("button", "act small", "Purge…");
      button.type = "button";
      button.hidden = true;
      button.addEventListener("click", () => ask("purge", stream));
      acts.append(button);
      return tr;
    },
    (tr, stream) => showStream(tr, stream, purges),
  );
  $("streams-none").hidden = status.streams.length > 0;
  $("streams").hidden = status.streams.length === 0;
  say($("streams-note"), leftOut(status.streams.length, status.streams_left_out));
}

function showStream(tr, stream, purges) {
  const [id, state, window, retained, clients, furthest, acts] = cells(tr);
  say(id.children[0], name(stream.number));
  say(id.children[1], stream.key);
  say(id.lastChild, ` ${stream.kind}${stream.open_seconds === null ? "" : `, open for ${time(stream.open_seconds)}`}`);
  const { kind, words, note } = phase(stream);
  mark(state.firstChild, `state ${kind}`);
  say(state.firstChild, words);
  say(state.lastChild, note);
  const of = stream.window;
  window.firstChild.toggleAttribute("hidden", !of);
  if (of) drawWindow(window.firstChild, of, stream.furthest.events);
  say(window.lastChild, of ? `low edge ${whole(of.low)} · fence ${whole(of.tail)} · run\u00a0${of.generation}` : "none yet");
  say(retained.firstChild, of ? `${whole(of.events)} of ${many(of.events_limit, "event")}` : "nothing");
  const oldest = of && of.oldest_seconds !== null ? ` · oldest ${time(of.oldest_seconds)} of ${time(of.age_limit_seconds)}` : "";
  say(retained.lastChild, of ? `${bytes(of.bytes)} of ${bytes(of.bytes_limit)}${oldest}` : "");
  say(clients, whole(stream.clients) + (stream.waiting ? ` and ${whole(stream.waiting)} waiting` : ""));
  say(furthest, stream.clients ? behind(stream.furthest) + (stream.furthest.past_low ? ", past the low edge" : "") : "nobody");
  mark(furthest, stream.furthest.past_low ? "bad" : "");
  const button = acts.firstChild;
  button.hidden = !purges || stream.number === null;
  button.setAttribute("aria-label", `Purge stream ${name(stream.number)}`);
}

const leftOut = (shown, left) => (left > 0 ? `${whole(shown)} worst of ${whole(shown + left)}` : whole(shown));

function showClients(status) {
  const most = Math.max(1, ...status.clients.map((client) => client.lag.bytes));
  each(
    $("clients").tBodies[0],
    // They have no names; the places stay, and what is in them changes.
    status.clients.map((client, at) => ({ ...client, at })),
    (client) => client.at,
    () => {
      const tr = row(["stream"], ["behind by"], ["of the furthest"], ["past low edge"], ["connected for"]);
      const [stream, , furthest] = cells(tr);
      stream.append(make("b"), " ", make("code"), " ", make("bdi"));
      const meter = make("meter");
      meter.setAttribute("aria-hidden", "true");
      furthest.append(meter);
      return tr;
    },
    (tr, client) => {
      const [stream, lag, meter, lost, here] = cells(tr);
      say(stream.children[0], name(client.stream));
      say(stream.children[1], client.key);
      say(stream.children[2], client.route);
      say(lag, behind(client.lag));
      meter.firstChild.value = client.lag.bytes / most;
      say(lost, client.lag.past_low ? "yes: a cut would be a gap" : "no");
      mark(lost, client.lag.past_low ? "bad" : "");
      say(here, time(client.connected_seconds));
    },
  );
  $("clients-none").hidden = status.clients.length > 0;
  $("clients").hidden = status.clients.length === 0;
  say($("clients-note"), leftOut(status.clients.length, status.clients_left_out));
}

function showRoutes(status) {
  const routes = Object.entries(status.routes);
  each(
    $("routes").tBodies[0],
    routes,
    ([route]) => route,
    ([route]) => {
      const numbers = ["streams", "without upstream", "clients", "waiting"].map((label) => [label, "number"]);
      const tr = row(["route"], ...numbers, ["retained"], ["furthest behind"]);
      cells(tr)[0].append(quoted(route));
      return tr;
    },
    (tr, [, sums]) => {
      const [, ...places] = cells(tr);
      const words = [sums.streams, sums.streams_without_upstream, sums.clients, sums.waiting].map(whole);
      words.push(`${many(sums.events, "event")}, ${bytes(sums.bytes)}`, bytes(sums.furthest_bytes));
      words.forEach((text, at) => say(places[at], text));
      mark(places[1], sums.streams_without_upstream ? "bad" : "");
    },
  );
  $("routes-none").hidden = routes.length > 0;
  $("routes").hidden = routes.length === 0;
}

function showCounts({ counts }) {
  each(
    $("counts"),
    Object.entries(counts),
    ([of]) => of,
    ([of]) => make("section", "", make("h3", "", of), make("dl")),
    (section, [, kinds]) =>
      each(
        section.lastChild,
        Object.entries(kinds),
        ([kind]) => kind,
        ([kind]) => make("div", "", make("dt", "", kind.replaceAll("_", " ")), make("dd")),
        (line, [, count]) => say(line.lastChild, whole(count)),
      ),
  );
}

/** Shows a status; `ask` is called when a stream's button is pressed. */
export function show(status, ask) {
  showAlerts(status);
  showTiles(status);
  showHour(status);
  showStreams(status, ask);
  showClients(status);
  showRoutes(status);
  showCounts(status);
  $("drain").hidden = !status.actions.includes("drain");
  $("drain").disabled = status.drain.draining;
  const [kind] = alerts(status)[0];
  const title = kind === "good" ? "respool status" : `(!) respool status`;
  if (document.title !== title) document.title = title;
}
