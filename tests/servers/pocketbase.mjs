// PocketBase's realtime API. Each connection has a name, which is the id of all its events and is first told by
// PB_CONNECT, and a POST with that name says what the connection is to bring. An `EventSource` that is left alone, the
// official client as it is, and that with a `fetch` that comes back.
//
//     client ── relay ── respool ── a server that speaks as PocketBase does

import { randomBytes } from "node:crypto";
import { once } from "node:events";

import { EventSource } from "eventsource";
import express from "express";
import Client from "pocketbase";

import { Relay, Respool, check, eventually, fail, main, numbered, same, sleep, text, whole } from "../clients/world.mjs";
import { configuration, impatient } from "./reader.mjs";
import { resuming } from "./resuming.mjs";

const CUTS = 8;
const PATH = "/api/realtime";
const TOPIC = "things/*";

/** The part of it that matters here. */
class PocketBase {
  /** What each connection is to bring. */
  clients = new Map();
  /** Connections that were made, those of them with an id, and subscriptions, by whom. */
  asked = new Map();
  ids = new Map();
  /** How long a subscription takes. */
  patience = 0;
  subscribed = new Map();
  n = 0;

  static async start() {
    const server = new PocketBase();
    const app = express().use(express.json());
    app.get(PATH, (request, response) => server.#connect(request, response));
    app.post(PATH, (request, response) => server.#subscribe(request, response));
    server.http = app.listen(0, "127.0.0.1");
    await once(server.http, "listening");
    server.port = server.http.address().port;
    server.mouth = setInterval(() => server.say(), 20);
    return server;
  }

  #connect(request, response) {
    count(this.asked, request);
    if (request.get("last-event-id")) count(this.ids, request);
    const id = randomBytes(20).toString("hex");
    response.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no" });
    const send = (name, data) => response.write(`id:${id}\nevent:${name}\ndata:${JSON.stringify(data)}\n\n`);
    send("PB_CONNECT", { clientId: id });
    this.clients.set(id, { send, topics: [] });
    response.on("close", () => this.clients.delete(id));
  }

  async #subscribe(request, response) {
    count(this.subscribed, request);
    const { clientId, subscriptions } = request.body;
    const client = this.clients.get(clientId);
    if (!client) return response.status(404).json({ code: 404, message: "Missing or invalid client id.", data: {} });
    client.topics = subscriptions;
    await sleep(this.patience);
    response.status(204).end();
  }

  /** A record was made. */
  say() {
    const n = ++this.n;
    const record = { id: `${n}`, collectionName: "things", n, text: text(n) };
    for (const { send, topics } of this.clients.values()) {
      if (topics.includes(TOPIC)) send(TOPIC, { action: "create", record });
    }
  }
}

/** Each client says in its query who it is. */
function count(counts, request) {
  const { who } = request.query;
  counts.set(who, (counts.get(who) ?? 0) + 1);
}

let server, respool;

async function open() {
  server = await PocketBase.start();
  respool = await Respool.start(`http://127.0.0.1:${server.port}`, configuration("PocketBase"));
}

/** A client, at a relay of its own to respool, or to the server itself. */
class Subscriber {
  events = [];
  ids = [];
  /** How often it was told its name. */
  connected = 0;

  static async through(port, who) {
    const subscriber = new Subscriber();
    subscriber.who = who;
    subscriber.relay = await Relay.start(port);
    subscriber.base = `http://127.0.0.1:${subscriber.relay.port}`;
    return subscriber;
  }

  /** An `EventSource` that comes back by itself, and a subscription for each name that it is told. */
  bySource() {
    const url = `${this.base}${PATH}?who=${this.who}`;
    const source = new EventSource(url, { fetch: impatient });
    source.addEventListener("PB_CONNECT", async ({ lastEventId }) => {
      this.connected += 1;
      const body = JSON.stringify({ clientId: lastEventId, subscriptions: [TOPIC] });
      const headers = { "content-type": "application/json" };
      const { status } = await fetch(url, { method: "POST", headers, body });
      if (![204, 404].includes(status)) fail(`${this.who}: the subscription is answered with ${status}`);
    });
    source.addEventListener(TOPIC, ({ data, lastEventId }) => {
      this.events.push(JSON.parse(data).record);
      this.ids.push(lastEventId);
    });
    this.stop = () => source.close();
    return this;
  }

  /** The official client. It takes whatever `EventSource` there is. */
  async byClient(ask = fetch) {
    const { who } = this;
    globalThis.EventSource = class extends EventSource {
      constructor(url) {
        const its = new URL(url);
        its.searchParams.set("who", asks.get(its.origin).who);
        super(its, { fetch: asks.get(its.origin).ask });
      }
    };
    asks.set(this.base, { who, ask });
    const client = new Client(this.base);
    client.beforeSend = (url, options) => ({ url: `${url}?who=${who}`, options });
    client.realtime.subscribe("PB_CONNECT", () => (this.connected += 1)).catch(() => {});
    await client.collection("things").subscribe("*", ({ record }) => this.events.push(record));
    this.stop = () => client.realtime.disconnect();
    return this;
  }

  /** Is cut again and again, each time when it has subscribed: see `givesUp`. */
  async cuts() {
    for (let n = 0; n < CUTS; n++) {
      await this.hears();
      await this.relay.cutEach(PATH, 1, 300);
    }
    await this.hears();
  }

  async hears() {
    await eventually(() => this.relay.streams(PATH).length === 1, `return of ${this.who}`);
    const { length } = this.events;
    await eventually(() => this.events.length > length, `event for ${this.who}`);
  }

  /** What came, each once, in order, by one connection. */
  resumed(what) {
    const of = `${what}, ${CUTS} cuts, ${this.events.length} events`;
    check(`${of}: each once, in order`, whole(this.events, this.events[0].n, server.n));
    same(`${of}: PB_CONNECT once`, this.connected, 1);
    same(`${of}: one connection to the server`, server.asked.get(this.who), 1);
    const [first, ...later] = this.relay.resumes.get(PATH);
    const wrong = later.find((answer) => !/^resumed; missed=\d+$/.test(answer));
    check(`${of}: each answer was a resume`, first === "fresh" ? (wrong ?? "") : first);
    same(`${of}: it came back ${CUTS} times`, later.length, CUTS);
  }

  /** It connects anew each time, and what happened in between is lost. */
  lost(what) {
    const due = server.n - this.events[0].n + 1;
    const lost = due - this.events.length;
    check(`${what}, ${CUTS} cuts: it loses ${lost} of ${due} events`, lost > 0 ? "" : "none");
    // One may be cut before it is told.
    check(`${what}: PB_CONNECT again and again`, this.connected > 1 ? "" : `${this.connected} times`);
    same(`${what}: a connection each time`, server.asked.get(this.who), 1 + CUTS);
  }
}

/** How the official client's requests go, by where they go. */
const asks = new Map();

const names = ["source-bare", "source", "client-bare", "client", "client-resuming"];

async function cuts() {
  const [sourceBare, source, clientBare, client, clientResuming] = await Promise.all(
    names.map((who) => Subscriber.through(who.endsWith("bare") ? server.port : respool.port, who)),
  );
  const all = [sourceBare.bySource(), source.bySource(), clientBare, client, clientResuming];
  for (const [its, ask] of [[clientBare], [client], [clientResuming, resuming]]) await its.byClient(ask);
  await Promise.all(all.map((subscriber) => subscriber.cuts()));
  clearInterval(server.mouth);
  server.say();
  await eventually(() => all.every(({ events }) => events.at(-1).n === server.n), "last event for all");
  source.resumed("EventSource");
  check("EventSource: ids are ours", numbered(source.ids));
  same("EventSource: it subscribes once", server.subscribed.get("source"), 1);
  sourceBare.lost("EventSource, without respool");
  clientResuming.resumed("official client, with a fetch that comes back");
  clientBare.lost("official client, without respool");
  client.lost("official client, through respool");
  const resumes = client.relay.resumes.get(PATH);
  same("official client, through respool: it brings no id", resumes, Array(1 + CUTS).fill("fresh"));
  same("no id reached the server through respool", [...server.ids.keys()], ["source-bare"]);
  same("each answer of respool is a new one or a resume", await respool.answers(PATH), {
    fresh: 2 + 1 + CUTS,
    resumed: 2 * CUTS,
  });
  for (const { stop, relay } of all) {
    stop();
    relay.stop();
  }
}

/** What it schedules when it is cut it forgets when its subscription, which it has given up by then, is over. */
async function givesUp() {
  for (const [name, port] of [["without respool", server.port], ["through respool", respool.port]]) {
    const subscriber = await Subscriber.through(port, `gives-up ${port}`);
    server.patience = 300;
    const subscribed = subscriber.byClient();
    await eventually(() => server.subscribed.has(subscriber.who), "subscription");
    subscriber.relay.streams(PATH).forEach((pair) => subscriber.relay.cut(pair, 0.6));
    await Promise.race([subscribed, sleep(3000)]);
    await sleep(3000);
    same(`official client, ${name}: cut while it subscribes, it never comes back`, server.asked.get(subscriber.who), 1);
    server.patience = 0;
    subscriber.relay.stop();
  }
}

async function close() {
  same("respool ends with 0 when told to", await respool.stop(), 0);
}

await main(60, open, cuts, givesUp, close);
