// The real opencode server behind respool: its two event streams over cuts, gaps and disposals, with `EventSource` and with
// its own SDK for clients, and all its other requests.
//
//     client ── relay ── respool ── counter ── opencode
//
// A second, uncut connection to the server itself says what there was to get.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createOpencodeClient } from "@opencode-ai/sdk";
import { WebSocket } from "ws";

import { Relay, Respool, check, eventually, fail, main, numbered, same, sleep } from "../clients/world.mjs";
import { Opencode } from "./opencode-server.mjs";
import { Reader, source } from "./reader.mjs";

const CUTS = 10;
const HELLO = "server.connected";
const HEARTBEAT = "server.heartbeat";
const ROUTES = `
[[route]]
path = "/event"
mode = "shared"
key = ["path", "query:directory", "query:workspace", "header:x-opencode-directory"]
type = "/type"
hello = ["${HELLO}"]
ephemeral = ["${HEARTBEAT}"]
on_break = "hold"

[[route]]
path = "/global/event"
mode = "shared"
key = ["path"]
admit = "none"
type = "/payload/type"
hello = ["${HELLO}"]
ephemeral = ["${HEARTBEAT}"]
reset = ["global.disposed"]
on_break = "hold"
`;

let opencode, respool, counter;

async function open() {
  opencode = await Opencode.start();
  counter = await Relay.start(opencode.port);
  respool = await Respool.start(`http://127.0.0.1:${counter.port}`, ROUTES);
}

const through = () => `http://127.0.0.1:${respool.port}`;
const event = () => `/event?directory=${encodeURIComponent(opencode.directory)}`;
const GLOBAL = "/global/event";
const path = (address) => address.split("?")[0];
const typeOf = (event) => event.payload?.type ?? event.type;
const count = (events, type) => events.filter((event) => typeOf(event) === type).length;

/** Its API, in the directory. */
const api = (base) => createOpencodeClient({ baseUrl: base, directory: opencode.directory });

async function session(client, title) {
  const { data, error } = await client.session.create({ body: { title } });
  return data?.id ?? fail(`no session: ${JSON.stringify(error)}`);
}

/**
 * The server says hello before it listens to what happens: makes sessions until one was `heard`, and gives its title.
 */
async function settled(what, heard) {
  for (let n = 1; n <= 20; n++) {
    const title = `${what}, ${n}`;
    await session(api(through()), title);
    for (let tries = 0; tries < 50; tries++) {
      if (heard(title)) return title;
      await sleep(10);
    }
  }
  fail(`nobody hears ${what}`);
}

// --- ten cuts ---

/** What a client dispatched, in what order, and with which ids. */
class Client {
  events = [];
  ids = [];

  constructor(name, address, base) {
    Object.assign(this, { name: `${name}, ${path(address)}`, address, base });
  }

  dispatch(event, id) {
    this.events.push(event);
    this.ids.push(id);
  }

  bySource() {
    const its = source(this.base + this.address);
    its.onmessage = (event) => this.dispatch(JSON.parse(event.data), event.lastEventId);
    its.onerror = () => its.readyState === its.CLOSED && fail(`${this.name} gave up`);
    this.stop = () => its.close();
    return this;
  }

  /** By the SDK. It waits twice as long after each cut, and never forgets one: what it would wait is written down. */
  bySdk() {
    this.waits = [];
    const abort = new AbortController();
    const options = {
      signal: abort.signal,
      sseSleepFn: (time) => this.waits.push(time) && sleep(100),
      // It tells of frames without data too.
      onSseEvent: ({ data, id }) => data && this.dispatch(data, id),
    };
    this.stop = () => abort.abort();
    this.#follow(options).then(
      () => abort.signal.aborted || fail(`${this.name} stopped`),
      (error) => fail(`${this.name}: ${error}`),
    );
    return this;
  }

  async #follow(options) {
    const sdk = api(this.base);
    const { stream } = await (this.address === GLOBAL
      ? sdk.global.event(options)
      : sdk.event.subscribe({ ...options, query: { directory: opencode.directory } }));
    for await (const _ of stream);
  }

  heard(title) {
    return this.events.some((event) => JSON.stringify(event).includes(`"title":"${title}"`));
  }

  /** What is everybody's, from one session to another. */
  between(from, to) {
    const all = this.events.filter((event) => ![HELLO, HEARTBEAT].includes(typeOf(event)));
    const at = (title) => all.findIndex((event) => JSON.stringify(event).includes(`"title":"${title}"`));
    return all.slice(at(from), at(to) + 1).map((event) => JSON.stringify(event));
  }
}

async function cuts() {
  const addresses = [event(), GLOBAL];
  const direct = addresses.map((address) => new Client("directly", address, opencode.url).bySource());
  const clients = [];
  for (const address of addresses) {
    for (const kind of ["EventSource", "SDK"]) {
      const relay = await Relay.start(respool.port);
      const client = new Client(kind, address, `http://127.0.0.1:${relay.port}`);
      clients.push(Object.assign(kind === "SDK" ? client.bySdk() : client.bySource(), { relay }));
    }
  }
  const everybody = [...direct, ...clients];
  await eventually(() => everybody.every(({ events }) => count(events, HELLO) === 1), "hello for all", 20);
  const sdk = api(through());
  const all = (title) => everybody.every((client) => client.heard(title));
  const first = await settled("first", all);
  let talking = true;
  const talk = (async () => {
    for (let n = 1; talking; n++) {
      const id = await session(sdk, `session ${n}`);
      for (const name of ["renamed", "grün €4 😀"]) {
        const { error } = await sdk.session.update({ path: { id }, body: { title: `${name} ${n}` } });
        if (error) fail(JSON.stringify(error));
      }
      await sleep(30);
    }
  })();
  await Promise.all(clients.map(({ relay, address }) => relay.cutEach(path(address), CUTS, 400)));
  talking = false;
  await talk;
  await session(sdk, "last");
  await eventually(() => all("last"), "last event for all", 20);
  await eventually(() => clients.every(({ events }) => count(events, HEARTBEAT) > 0), "heartbeat for all", 15);
  for (const client of clients) await judge(client, direct[addresses.indexOf(client.address)], first);
  for (const address of addresses) {
    // Who comes anew is asked about, for its hello; who comes back, where that takes permission.
    const admissions = address === GLOBAL ? 0 : 2 * CUTS;
    const asked = counter.resumes.get(path(address)).length;
    same(`${path(address)}: the server is asked for two new clients and ${admissions} admissions`, asked, 2 + admissions);
    // The SDK names the directory twice, which makes a stream of its own.
    const streams = address === GLOBAL ? 1 : 2;
    await eventually(() => counter.streams(path(address)).length === streams, `${streams} streams from the server`);
    const answers = await respool.answers(path(address));
    same(`${path(address)}: each answer was a resume`, answers, { fresh: 2, resumed: 2 * CUTS });
  }
  for (const client of everybody) client.stop();
  for (const { relay } of clients) relay.stop();
}

async function judge(client, direct, first) {
  const { name, relay, events } = client;
  const [fresh, ...later] = relay.resumes.get(path(client.address));
  const wrong = later.find((answer) => !/^resumed; missed=\d+$/.test(answer));
  check(`${name}: ${CUTS} times it is told that it resumes`, wrong ?? (fresh === "fresh" ? "" : fresh));
  same(`${name}: it came back ${CUTS} times`, later.length, CUTS);
  const [due, got] = [direct, client].map((who) => who.between(first, "last"));
  const at = due.findIndex((event, n) => event !== got[n]);
  const different = at < 0 ? got.slice(due.length)[0] : `${got[at]} where ${due[at]} was due`;
  check(`${name}, ${CUTS} cuts, ${due.length} events: each once, in order`, different);
  same(`${name}: one ${HELLO}, and none after a resume`, count(events, HELLO), 1);
  const beats = events.flatMap((event, n) => (typeOf(event) === HEARTBEAT ? [n] : []));
  // One of them gives the id from before with an event that has none.
  const marked = beats.filter((n) => !["", client.ids[n - 1]].includes(client.ids[n]));
  same(`${name}, ${beats.length} heartbeats: none has an id`, marked, []);
  const kept = client.ids.filter((_, n) => ![HELLO, HEARTBEAT].includes(typeOf(events[n])));
  check(`${name}: ids are ours`, numbered(kept));
  if (!client.waits) return;
  const waits = client.waits.map((time) => time / 1000);
  same(`${name}: what it would wait, in seconds`, waits, [3, 6, 12, 24, 30, 30, 30, 30, 30, 30]);
}

// --- gaps ---

/** Opens a stream and leaves it when it has a place; what happens then is missed. */
async function left(address, url = through()) {
  const reader = await Reader.open(url + address);
  await reader.said(HELLO);
  await settled("before it left", (title) => reader.frames.some((frame) => frame.includes(title)));
  reader.leave();
  return reader;
}

const hellos = (reader) => reader.frames.filter((frame) => frame.includes(`"${HELLO}"`)).length;

/** It comes back, and is served as a new client, with one hello, whose id is a place to come back to. */
async function gap(of, address, id, reason, url = through()) {
  const reader = await Reader.open(url + address, id);
  same(`${of}: it is told of a gap`, reader.resume, `gap; reason=${reason}`);
  const [, fence] = /\nid: (r\S+)$/.exec(await reader.said(HELLO)) ?? [];
  await session(api(through()), `after ${reason}`);
  await reader.said(`after ${reason}`);
  reader.leave();
  same(`${of}: one ${HELLO}, first`, [hellos(reader), reader.frames[0].includes(HELLO)], [1, true]);
  const again = await Reader.open(url + address, fence);
  await again.said(`after ${reason}`);
  again.leave();
  check(`${of}: what it was given then is a place`, /^resumed; missed=[1-9]/.test(again.resume) ? "" : again.resume);
  same(`${of}: and no ${HELLO} there`, hellos(again), 0);
}

async function gaps() {
  // A session is two events to one of them.
  const narrow = await Respool.start(`http://127.0.0.1:${counter.port}`, `[window]\nevents = 2\n${ROUTES}`);
  for (const address of [event(), GLOBAL]) {
    const of = (what) => `${path(address)}, ${what}`;
    const { id } = await left(address);
    await gap(of("a forged id"), address, `r${"0".repeat(13)}-5`, "generation");
    await gap(of("an id from the future"), address, id.replace(/\d+$/, "99999"), "ahead");
    const url = `http://127.0.0.1:${narrow.port}`;
    const missed = await left(address, url);
    const other = await Reader.open(url + address);
    for (const title of ["one", "two", "three"]) await session(api(through()), title);
    await other.said('"three"');
    other.leave();
    await gap(of("away for longer than the window"), address, missed.id, "expired", url);
  }
  same("respool ends with 0 when told to", await narrow.stop(), 0);
}

// --- disposal ---

const post = async (to) => {
  const { status } = await fetch(`${through()}${to}`, { method: "POST" });
  same(`POST ${path(to)} is answered`, status, 200);
};

async function disposed() {
  const away = await left(GLOBAL);
  const there = await Reader.open(through() + GLOBAL, away.id);
  check(`${GLOBAL}: it resumes before it is disposed`, there.resume.startsWith("resumed") ? "" : there.resume);
  const its = await Reader.open(through() + event());
  await its.said(HELLO);
  await post("/global/dispose");
  const frame = await there.said('"global.disposed"');
  const [, id] = /\nid: (r\S+)$/.exec(frame) ?? [];
  const [run, old] = [id, away.id].map((id) => id.split("-")[0]);
  check("global.disposed, online: it begins a new run", run > old ? "" : `${id} after ${away.id}`);
  await session(api(through()), "after disposal");
  await there.said("after disposal");
  same("global.disposed, online: the stream stays, without a hello", [there.over, hellos(there)], ["", 0]);
  there.leave();
  const again = await Reader.open(through() + GLOBAL, id);
  await again.said("after disposal");
  again.leave();
  check("global.disposed: from there on it is resumed", /^resumed; missed=[1-9]/.test(again.resume) ? "" : again.resume);
  same("global.disposed: without a hello", hellos(again), 0);
  const others = again.frames.filter((frame) => frame.includes("global.disposed")).length;
  same("global.disposed: nor is it heard twice", others, 0);
  await gap("global.disposed, offline", GLOBAL, away.id, "generation");
  await eventually(() => its.over, "end of /event");
  const last = its.events.at(-1);
  same("/event ends properly, after server.instance.disposed", [its.over, JSON.parse(last).type], [
    "properly",
    "server.instance.disposed",
  ]);
  await gap("/event, after its end", event(), its.id, "generation");
  // One instance alone.
  const instance = await Reader.open(through() + event());
  await instance.said(HELLO);
  await post(`/instance/dispose?directory=${encodeURIComponent(opencode.directory)}`);
  await eventually(() => instance.over, "end of /event");
  same("POST /instance/dispose ends /event properly", instance.over, "properly");
  await gap("/event, after an instance's end", event(), instance.id, "generation");
}

// --- all its other requests ---

const NOTHING = "ses_00000000000000000000000000";
const json = (method, to, body) => ({
  method,
  to,
  headers: { "content-type": "application/json" },
  body: typeof body === "string" ? body : JSON.stringify(body),
});
const get = (to, headers = {}) => ({ method: "GET", to, headers });

/** Requests, in this order; `id` is a session that the first one made. */
const REQUESTS = [
  json("POST", "/session", { title: "asked" }),
  get("/session"),
  (id) => get(`/session/${id}`),
  (id) => json("PATCH", `/session/${id}`, { title: "renamed €4 😀" }),
  (id) => get(`/session/${id}/message`),
  (id) => json("PATCH", `/session/${id}`, { title: 7 }),
  (id) => json("POST", `/session/${id}/message`, { parts: "none" }),
  (id) => json("POST", `/session/${id}/abort`, {}),
  (id) => json("POST", `/session/${id}/fork`, {}),
  (id) => json("DELETE", `/session/${id}`),
  (id) => json("DELETE", `/session/${id}`),
  json("POST", "/session", "{bad"),
  json("POST", "/session", { nonsense: true }),
  json("POST", "/log", { service: "test", level: "info", message: "x".repeat(100_000) }),
  json("POST", "/question/que_nobody/reply", { answers: [] }),
  json("POST", "/permission/per_nobody/reply", { reply: "once" }),
  json("PUT", "/auth/nobody", { type: "api", key: "k" }),
  json("DELETE", "/auth/nobody"),
  json("POST", "/tui/publish", { type: "tui.toast.show", properties: { message: "m", variant: "info" } }),
  get("/doc"),
  get("/doc", { "accept-encoding": "gzip" }),
  get("/"),
  get("/nowhere"),
  get(`/session/${NOTHING}`),
  get("/session/no-id"),
  get("/global/health"),
  get("/config"),
  get("/agent"),
  get("/path"),
  get("/question"),
  get("/api/question/request"),
  get("/file?path=."),
  get("/file/content?path=file.txt"),
  get("/find/file?query=file"),
  { method: "HEAD", to: "/session", headers: {} },
  { method: "HEAD", to: "/event", headers: {} },
  {
    method: "OPTIONS",
    to: "/session",
    headers: { origin: "http://localhost:3000", "access-control-request-method": "POST" },
  },
  get("/session", { origin: "http://localhost:3000" }),
  get("/session", { origin: "http://elsewhere.test" }),
  { method: "POST", to: "/event", headers: {} },
];

/** Names, times and places differ from one request to the next. */
const alike = (text) =>
  text
    .replace(/\b(ses|evt)_[0-9a-zA-Z]{20,}/g, "$1_")
    .replace(/"slug":"[a-z-]+"/g, '"slug":""')
    .replace(/\berr_[0-9a-f]+/g, "err_")
    .replace(/\b1[0-9]{12}\b/g, "0")
    .replace(/\b20\d\d-\d\d-\d\dT[\d:.]+Z/g, "now");

async function ask(base, directory, { method, to, headers, body }) {
  const where = `${to.includes("?") ? "&" : "?"}directory=${encodeURIComponent(directory)}`;
  const signal = AbortSignal.timeout(10_000);
  const given = { "accept-encoding": "identity", ...headers };
  const answer = await fetch(base + to + where, { method, headers: given, body, signal });
  const text = await answer.text();
  const length = `${Buffer.byteLength(text)}`;
  const head = [...answer.headers]
    .filter(([name]) => name !== "date" && name !== "connection")
    .map(([name, value]) => (name === "content-length" && value === length ? [name, "right"] : [name, value]));
  return { id: /ses_\w+/.exec(text)?.[0], said: [answer.status, head, alike(text).replaceAll(directory.slice(1), "here")] };
}

async function requests() {
  const answers = [];
  // Each in a directory of its own: what is in one is the same then.
  for (const base of [opencode.url, through()]) {
    const directory = opencode.directory + answers.length;
    mkdirSync(directory);
    writeFileSync(join(directory, "file.txt"), "grün €4 😀\n");
    let id;
    const said = [];
    for (const request of REQUESTS) {
      const what = typeof request === "function" ? request(id) : request;
      const answer = await ask(base, directory, what);
      id ??= answer.id;
      said.push({ what: `${what.method} ${alike(what.to)}`, said: answer.said });
    }
    answers.push(said);
  }
  const [direct, ours] = answers;
  const wrong = direct.flatMap(({ what, said }, n) => {
    const [due, got] = [said, ours[n].said].map((answer) => JSON.stringify(answer));
    return due === got ? [] : [`\n${what}: ${got.slice(0, 1000)}\ninstead of ${due.slice(0, 1000)}`];
  });
  check(`${direct.length} other requests are answered as directly`, wrong.join(""));
  const statuses = new Set(direct.map(({ said }) => said[0]));
  same("among them are refusals", [200, 204, 400, 404, 500].filter((status) => !statuses.has(status)), []);
}

/** A terminal, over a WebSocket. */
async function terminal() {
  const query = `directory=${encodeURIComponent(opencode.directory)}`;
  for (const [name, base] of [["directly", opencode.url], ["through respool", through()]]) {
    const body = JSON.stringify({ command: "/bin/cat", args: [], cwd: opencode.directory });
    const headers = { "content-type": "application/json" };
    const created = await fetch(`${base}/pty?${query}`, { method: "POST", headers, body });
    same(`a terminal, ${name}: it is there`, created.status, 200);
    const { id } = await created.json();
    const socket = new WebSocket(`${base.replace("http", "ws")}/pty/${id}/connect?${query}`);
    let heard = "";
    socket.on("message", (data) => (heard += data));
    socket.on("error", (error) => fail(`a terminal, ${name}: ${error}`));
    socket.on("open", () => socket.send("grün €4 😀\n"));
    await eventually(() => heard.includes("grün €4 😀"), `echo of a terminal, ${name}`);
    check(`a terminal, ${name}: it echoes`, "");
    socket.close();
    const removed = await fetch(`${base}/pty/${id}?${query}`, { method: "DELETE" });
    same(`a terminal, ${name}: it is gone`, removed.status, 200);
  }
}

async function close() {
  same("respool ends with 0 when told to", await respool.stop(), 0);
  counter.stop();
  opencode.stop();
}

await main(80, open, cuts, gaps, disposed, requests, terminal, close);
