// What real clients are tested with: an event server, respool in front of it, and a relay that cuts connections.
//
//     client ── relay ── respool ── event server
//
// The relay is a plain TCP relay: a cut destroys sockets, in the middle of whatever was on its way.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { EventSource } from "eventsource";
import express from "express";

export { sleep };

/** What event `n` says besides its number: of every length, and not ASCII alone. */
export function text(n) {
  return "grün €4 😀 ".repeat((n * 7919) % 97);
}

/** An event server as people write them: it numbers its events in their data, and has never heard of ids. */
export class Origin {
  /** Connections that were ever made to a path, and those that are open. A query counts as another path. */
  asked = new Map();
  open = new Map();
  /** How many requests brought an id: ours must not come here, and the server has none. */
  ids = 0;
  /** The ids that were brought to a path, by a header or in the query, one after the other; "" where there was none. */
  brought = new Map();
  /** The one other origin whose pages may come here, and how often a browser asked whether they may. */
  allowed;
  preflights = 0;
  /** The number of the last event. */
  n = 0;
  #feeds = new Map();
  #app = express();
  #heart;
  #mouth;

  /**
   * `beats`: whether frames without data come in between; `mixes`: whether a path's lines end now so, now so; `more`:
   * what else it answers.
   */
  static async start(pages = {}, { beats = true, mixes = () => true, more = () => {} } = {}) {
    const origin = new Origin();
    const app = origin.#app;
    more(app);
    app.use("/feed", (request, response, next) => origin.#strict(request, response, next));
    for (const path of ["/feed", "/feed/:who", "/shared", "/admitted"]) {
      app.get(path, (request, response) => origin.#feed(request.originalUrl, request, response));
    }
    for (const [path, page] of Object.entries(pages)) app.get(path, (_, response) => response.send(page));
    await origin.up();
    Object.assign(origin, { beats, mixes });
    if (beats) origin.#heart = setInterval(() => origin.beat(), 50);
    return origin;
  }

  /** It listens, again on the port that it had before. */
  async up() {
    this.server = this.#app.listen(this.port ?? 0, "127.0.0.1");
    await once(this.server, "listening");
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** It is gone, and so are its connections. */
  async down() {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, "close");
  }

  /** Pages of `allowed` may come here, with the headers that it has heard of. */
  #strict(request, response, next) {
    if (!request.get("origin")) return next();
    response.set({ "Access-Control-Allow-Origin": this.allowed ?? "null", Vary: "Origin" });
    if (request.method !== "OPTIONS") return next();
    this.preflights += 1;
    response.set("Access-Control-Allow-Headers", "Content-Type, Authorization").status(204).end();
  }

  /** Everybody who is connected gets what happens from now on. */
  #feed(path, request, response) {
    this.asked.set(path, (this.asked.get(path) ?? 0) + 1);
    this.open.set(path, (this.open.get(path) ?? 0) + 1);
    if (request.get("last-event-id")) this.ids += 1;
    const id = request.get("last-event-id") ?? request.query.lastEventId ?? "";
    this.brought.set(request.path, [...(this.brought.get(request.path) ?? []), id]);
    response.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    if (this.beats) response.write("retry: 200\n\n");
    else response.flushHeaders();
    this.#feeds.set(response, path);
    response.on("close", () => {
      this.#feeds.delete(response);
      this.open.set(path, this.open.get(path) - 1);
    });
  }

  /** An event every few milliseconds, until `quiet`. */
  talk(pause = 5) {
    this.#mouth = setInterval(() => this.say(), pause);
  }

  quiet() {
    clearInterval(this.#mouth);
  }

  /** One event: in lines that end as they like, with a comment in between now and then; and with more of them. */
  say(...more) {
    const n = ++this.n;
    const lines = [`data: {"n":${n},`, ...(n % 5 ? [] : [": in between"]), `data: "text":"${text(n)}"}`, ...more];
    // Frames with nothing but this would be events to some clients.
    if (!this.beats) lines.unshift("retry: 200");
    const frame = (end) => lines.join(end) + end + end;
    const frames = [frame("\n"), frame("\r\n")];
    for (const [feed, path] of this.#feeds) feed.write(frames[n % 3 === 0 && this.mixes(path) ? 1 : 0]);
  }

  /** A frame without data. */
  beat() {
    for (const feed of this.#feeds.keys()) feed.write(": beat\n\n");
  }

  stop() {
    this.quiet();
    clearInterval(this.#heart);
    this.server.close();
    this.server.closeAllConnections();
  }
}

/** What `Origin` needs. */
const ROUTES = `
[[route]]
path = "/shared"
mode = "shared"
key = ["path"]
admit = "none"

[[route]]
path = "/admitted"
mode = "shared"
key = ["path"]

[[route]]
path = "/feed"
`;

/** The binary, with a configuration file of its own. */
export class Respool {
  static async start(upstream, routes = ROUTES, listen = "127.0.0.1:0", drain = "1s") {
    const respool = new Respool();
    respool.place = mkdtempSync(join(tmpdir(), "respool-clients-"));
    const file = join(respool.place, "respool.toml");
    respool.write = (routes) =>
      writeFileSync(file, `listen = "${listen}"\nadmin = "127.0.0.1:0"\ndrain = { time = "${drain}" }\n${routes}`);
    respool.write(routes);
    const binary = process.env.RESPOOL ?? "respool";
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith("RESPOOL")),
    );
    const child = spawn(binary, ["--upstream", upstream, "--config", file, "--log", "info"], {
      env,
      stdio: ["ignore", "inherit", "pipe"],
    });
    respool.child = child;
    respool.exit = once(child, "exit");
    respool.exit.catch((error) => fail(`${binary} cannot be run: ${error.message}`));
    // Whatever becomes of us, it does not stay behind.
    process.on("exit", () => child.kill("SIGKILL"));
    // It says where it listens: clients first, the admin second.
    respool.said = [];
    const addresses = [];
    await new Promise((resolve) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        respool.said.push(line);
        const address = /"address":"(?:https:\/\/)?127\.0\.0\.1:(\d+)"/.exec(line);
        if (address) addresses.push(Number(address[1]));
        if (line.includes('"serving"')) resolve();
      });
      respool.exit.then(
        () => respool.stopping || fail(`respool ended:\n${respool.said.join("\n")}`),
        () => {},
      );
    });
    [respool.port, respool.admin] = addresses;
    return respool;
  }

  /** How requests of a route were answered, by what `respool_answers_total` says: only what is not zero. */
  async answers(route) {
    const response = await fetch(`http://127.0.0.1:${this.admin}/metrics`);
    const lines = (await response.text()).matchAll(
      /^respool_answers_total\{route="(.+?)",answer="(.+?)"\} (\d+)$/gm,
    );
    const ours = [...lines].filter(([, of, , count]) => of === route && count !== "0");
    return Object.fromEntries(ours.map(([, , answer, count]) => [answer, Number(count)]).sort());
  }

  /** Has it read its file again, with these routes in it. */
  reload(routes) {
    this.write(routes);
    this.child.kill("SIGHUP");
  }

  /** Tells it to end, and says with what code it did. */
  async stop() {
    this.stopping = true;
    this.child.kill("SIGTERM");
    const [code] = await this.exit;
    rmSync(this.place, { recursive: true });
    return code;
  }
}

/** A TCP relay that cuts. */
export class Relay {
  /** How often something was cut. */
  cuts = 0;
  /** The values of `Respool-Resume` in the heads of streams, by their path. */
  resumes = new Map();
  /** How often each was asked for, as `GET /path`. */
  asked = new Map();
  #pairs = new Set();

  static async start(port) {
    const relay = new Relay();
    await relay.up(port);
    return relay;
  }

  /** It leads to this port, and listens: again on the port that it had before. */
  async up(port) {
    this.server = net.createServer((client) => this.#accept(client, port));
    this.server.listen(this.port ?? 0, "127.0.0.1");
    await once(this.server, "listening");
    this.port = this.server.address().port;
  }

  /** Who comes now is refused, and who is there is cut. */
  down() {
    this.server.close();
    this.#pairs.forEach((pair) => this.#destroy(pair));
  }

  #accept(client, port) {
    const pair = {
      client,
      origin: net.connect(port, "127.0.0.1"),
      method: "",
      path: "",
      seen: "",
      streams: false,
      numbered: false,
      armed: false,
    };
    this.#pairs.add(pair);
    const end = () => this.#destroy(pair);
    for (const socket of [pair.client, pair.origin]) socket.on("error", end).on("close", end);
    client.on("data", (bytes) => {
      const [line, method, path] = /^([A-Z]+) ([^ ?]+)\S* HTTP/.exec(bytes.toString("latin1")) ?? [];
      // A connection may be used again.
      if (line) Object.assign(pair, { method, path, seen: "", streams: false, numbered: false });
      if (line) this.asked.set(`${method} ${path}`, (this.asked.get(`${method} ${path}`) ?? 0) + 1);
      pair.origin.write(bytes);
    });
    pair.origin.on("data", (bytes) => this.#back(pair, bytes));
  }

  #back(pair, bytes) {
    this.#notice(pair, bytes);
    if (!pair.armed) return pair.client.write(bytes);
    // A part of it arrives, and then nothing any more.
    this.cuts += 1;
    pair.client.end(part(bytes), () => this.#destroy(pair));
    pair.origin.destroy();
  }

  /** Looks at what came until the head of a stream, and its first id, were seen. */
  #notice(pair, bytes) {
    if (pair.numbered) return;
    pair.seen += bytes.toString("latin1");
    const head = /^HTTP\/1\.1 200 (?:(?!\r\n\r\n)[^])*?content-type: text\/event-stream[^]*?\r\n\r\n/im.exec(
      pair.seen,
    );
    if (head && !pair.streams) {
      pair.streams = true;
      const resume = /^respool-resume: (.*)\r\n/im.exec(head[0])?.[1];
      this.resumes.set(pair.path, [...(this.resumes.get(pair.path) ?? []), resume]);
    }
    pair.numbered = pair.streams && /\nid: r\S+\r?\n/.test(pair.seen);
  }

  #destroy(pair) {
    this.#pairs.delete(pair);
    pair.client.destroy();
    pair.origin.destroy();
  }

  /** Streams to this path that are being relayed, their heads already seen. */
  streams(path) {
    return [...this.#pairs].filter((pair) => pair.path === path && pair.streams && !pair.armed);
  }

  /** Streams that have brought their client an id. */
  numbered(path) {
    return this.streams(path).filter((pair) => pair.numbered);
  }

  /** Cuts a connection now: by a reset, by a plain close, or (if `how` is 0) in the middle of what comes next. */
  cut(pair, how = Math.random()) {
    if (how < 0.5) {
      pair.armed = true;
      return;
    }
    this.cuts += 1;
    if (how < 0.75) pair.client.resetAndDestroy();
    this.#destroy(pair);
  }

  /** Cuts one stream to this path after the other at random moments, `count` in all. */
  async cutAtRandom(path, count, pause) {
    const until = this.cuts + count;
    while (this.cuts < until) {
      await sleep(Math.random() * pause);
      const live = this.streams(path);
      if (live.length === 0) continue;
      const before = this.cuts;
      this.cut(live[Math.floor(Math.random() * live.length)]);
      await eventually(() => this.cuts > before, "a cut");
    }
  }

  /** Cuts whoever streams this path, `count` times, each time before `pause` has passed since it came. */
  async cutEach(path, count, pause, how) {
    for (let n = 0; n < count; n++) {
      await eventually(() => this.streams(path).length === 1, `return to ${path}`, 20);
      await sleep(Math.random() * pause);
      const [pair] = this.streams(path);
      if (pair) this.cut(pair, how);
      await eventually(() => !this.#pairs.has(pair), `cut of ${path}`);
    }
  }

  stop() {
    this.down();
  }
}

/**
 * What is left of this, ended anywhere but between an id line and the blank line behind it: some clients have taken the
 * id by then and lose the event (deploy/clients.md), and chance is not to decide whether they do.
 */
function part(bytes) {
  const some = bytes.subarray(0, Math.floor(Math.random() * bytes.length));
  const [end] = /(?<=\nid: [^\r\n]*)[\r\n]+$/.exec(some.toString("latin1")) ?? [""];
  // A whole one may stay.
  return /\n\r?\n$/.test(end) ? some : some.subarray(0, some.length - end.length);
}

/** A port for a program that cannot choose one itself. */
export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Waits until something is so. */
export async function eventually(is, what, seconds = 10) {
  for (let tries = 0; tries < seconds * 100; tries++) {
    if (await is()) return;
    await sleep(10);
  }
  fail(`no ${what} within ${seconds} s`);
}

/** A client by the npm package `eventsource` that writes down what it got. */
export function listen(url, type = "message") {
  const client = { events: [], ids: [], source: new EventSource(url), closed: false };
  client.source.addEventListener(type, (event) => {
    client.events.push(JSON.parse(event.data));
    client.ids.push(event.lastEventId);
  });
  client.source.addEventListener("error", () => {
    client.closed ||= client.source.readyState === EventSource.CLOSED;
  });
  return client;
}

/** What a client got is `from..=to`, each once, in order, and says what it should. */
export function whole(events, from, to, says = text) {
  const wrong = events.findIndex(({ n }, at) => n !== from + at);
  if (wrong >= 0) return `${events[wrong].n} came where ${from + wrong} was due`;
  if (events.length !== to - from + 1) return `${events.length} events came of ${to - from + 1}`;
  const other = events.find((event) => event.text !== says(event.n));
  return other ? `${other.n} came with another text` : "";
}

/** Ids are ours, of one generation, and count one up for each event. */
export function numbered(ids) {
  const parsed = ids.map((id) => /^r([0-9a-v]{13}|[0-9a-v]{24})-([1-9]\d*)$/.exec(id));
  const none = parsed.indexOf(null);
  if (none >= 0) return `${JSON.stringify(ids[none])} is no id of ours`;
  const broken = parsed.findIndex(([, run, n], at) => run !== parsed[0][1] || +n !== +parsed[0][2] + at);
  return broken < 0 ? "" : `${ids[broken]} came as number ${broken} after ${ids[0]}`;
}

let failed = 0;

/** Says whether something holds: `wrong` is what is wrong with it, or nothing. */
export function check(name, wrong) {
  if (wrong) failed += 1;
  console.log(wrong ? `not ok - ${name}: ${wrong}` : `ok - ${name}`);
}

/** Says whether two values are the same. */
export function same(name, actual, expected) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  check(name, a === b ? "" : `${a} instead of ${b}`);
}

/** Says what does not hold yet, and that this is known; what does hold by now has to be a `check`. */
export function todo(name, wrong) {
  console.log(wrong ? `not yet - ${name}: ${wrong}` : `ok - ${name} (no longer to do)`);
}

/** Nothing more can be said after this. */
export function fail(why) {
  console.log(`not ok - ${why}`);
  process.exit(1);
}

/** Runs a script's parts one after the other, with a deadline for all of them. */
export async function main(seconds, ...parts) {
  setTimeout(() => fail(`not done within ${seconds} s`), seconds * 1000).unref();
  try {
    for (const part of parts) await part();
  } catch (error) {
    fail(error.stack);
  }
  process.exit(failed ? 1 : 0);
}
