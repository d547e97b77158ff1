// The real opencode server behind respool: its two event streams over cuts, gaps and disposals, with `EventSource` and its
// own SDK for clients, and all its other requests.
//
//     client ── relay ── respool ── counter ── opencode
//
// A second, uncut connection to the server itself says what there was to get.

import { createOpencodeClient } from "@opencode-ai/sdk";

import { Relay, Respool, check, eventually, fail, main, numbered, same, sleep } from "../clients/world.mjs";
import { requests, terminal } from "./opencode-requests.mjs";
import { Opencode } from "./opencode-server.mjs";
import { Reader, configuration, source } from "./reader.mjs";

const CUTS = 10;
const HELLO = "server.connected";
const HEARTBEAT = "server.heartbeat";
// There is no password here: who comes back need not be asked about.
const ROUTES = ["/event", "/global/event"]
  .map((path) => `${configuration("opencode")}path = "${path}"\n${path === "/event" ? "" : 'admit = "none"\n'}`)
  .join("\n");

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
  // What it is without respool.
  const bare = await Promise.all(
    ["EventSource", "SDK"].map(async (kind) => {
      const relay = await Relay.start(opencode.port);
      const client = new Client(`${kind} without respool`, GLOBAL, `http://127.0.0.1:${relay.port}`);
      return Object.assign(kind === "SDK" ? client.bySdk() : client.bySource(), { relay });
    }),
  );
  const everybody = [...direct, ...clients, ...bare];
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
  const cut = [...clients, ...bare];
  await Promise.all(cut.map(({ relay, address }) => relay.cutEach(path(address), CUTS, 400)));
  const there = ({ relay, address }) => relay.streams(path(address)).length === 1;
  await eventually(() => cut.every(there), "return of all");
  talking = false;
  await talk;
  const last = await settled("last", all);
  await eventually(() => clients.every(({ events }) => count(events, HEARTBEAT) > 0), "heartbeat for all", 15);
  for (const client of clients) await judge(client, direct[addresses.indexOf(client.address)], first, last);
  for (const client of bare) {
    const [due, got] = [direct[1], client].map((who) => who.between(first, last).length);
    check(`${client.name}, ${CUTS} cuts: it loses ${due - got} of ${due} events`, got < due ? "" : "it does not");
    same(`${client.name}: one ${HELLO} each time`, count(client.events, HELLO), 1 + CUTS);
  }
  for (const address of addresses) {
    // Who comes anew is asked about, for its hello; who comes back, where that takes permission.
    const admissions = address === GLOBAL ? 0 : 2 * CUTS;
    const asked = counter.resumes.get(path(address)).length;
    const of = `${path(address)}: the server is asked for two new clients,`;
    // That stream is there before the first of them.
    const pinned = address === GLOBAL ? 1 : 0;
    same(`${of} ${admissions} admissions, and ${pinned} by respool itself`, asked, 2 + admissions + pinned);
    // The SDK names the directory twice, which makes a stream of its own.
    const streams = address === GLOBAL ? 1 : 2;
    await eventually(() => counter.streams(path(address)).length === streams, `${streams} streams from the server`);
    const answers = await respool.answers(path(address));
    same(`${path(address)}: each answer was a resume`, answers, { fresh: 2, resumed: 2 * CUTS });
  }
  for (const client of everybody) client.stop();
  for (const { relay } of cut) relay.stop();
}

async function judge(client, direct, first, last) {
  const { name, relay, events } = client;
  const [fresh, ...later] = relay.resumes.get(path(client.address));
  const wrong = later.find((answer) => !/^resumed; missed=\d+$/.test(answer));
  check(`${name}: ${CUTS} times it is told that it resumes`, wrong ?? (fresh === "fresh" ? "" : fresh));
  same(`${name}: it came back ${CUTS} times`, later.length, CUTS);
  const [due, got] = [direct, client].map((who) => who.between(first, last));
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

const resumed = ({ resume }) => (/^resumed; missed=[1-9]/.test(resume) ? "" : resume);
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
  check(`${of}: what it was given then is a place`, resumed(again));
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
  check("global.disposed: from there on it is resumed", resumed(again));
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

/** A stream that no route names. */
async function others() {
  const address = `${through()}/api/event`;
  const first = await Reader.open(address);
  await settled("api, before", (title) => first.frames.some((frame) => frame.includes(title)));
  first.leave();
  await session(api(through()), "api, after");
  await sleep(200);
  const again = await Reader.open(address, first.id);
  await again.said("api, after");
  again.leave();
  check("/api/event: it is resumed", resumed(again));
  const asked = counter.resumes.get("/api/event").length;
  same("/api/event: by one connection, without a hello", [asked, hellos(again)], [1, 0]);
}

const asDirectly = () => requests(opencode, through());
const terminals = () => terminal(opencode, through());

async function close() {
  same("respool ends with 0 when told to", await respool.stop(), 0);
  counter.stop();
  opencode.stop();
}

await main(80, open, cuts, gaps, disposed, others, asDirectly, terminals, close);
