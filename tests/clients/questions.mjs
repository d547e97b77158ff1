// What respool is for, in a browser: a page with an agent's open questions, which loads everything when the server says
// `server.connected`. A cut must not make it load, and what the user has begun to write must still be there; where what
// happened cannot be had any more, it has to load, once. The server speaks as opencode does.

import { once } from "node:events";
import { readFileSync } from "node:fs";

import express from "express";

import { launch } from "./chromium.mjs";
import { Relay, Respool, check, eventually, main, same, sleep } from "./world.mjs";

const EVENTS = "/global/event";
const PAGE = readFileSync(new URL("questions.html", import.meta.url), "utf8");
const WINDOW = 4;
const ROUTES = `
[window]
events = ${WINDOW}

[[route]]
path = "${EVENTS}"
mode = "shared"
key = ["path"]
type = "/payload/type"
hello = ["server.connected"]
ephemeral = ["server.heartbeat"]
reset = ["global.disposed"]
on_break = "hold"
`;
// What is written to a page is with it after so many milliseconds.
const ARRIVE = 300;

/** A server with questions that nobody has answered. */
class Agent {
  asked = 0;
  loads = 0;
  ids = 0;
  n = 0;
  questions = new Map();
  #feeds = new Set();

  static async start() {
    const agent = new Agent();
    const app = express();
    app.get("/", (_, response) => response.send(PAGE));
    app.get("/question", (_, response) => {
      agent.loads += 1;
      response.json([...agent.questions.values()]);
    });
    app.get(EVENTS, (request, response) => agent.#feed(request, response));
    agent.http = app.listen(0, "127.0.0.1");
    await once(agent.http, "listening");
    agent.port = agent.http.address().port;
    agent.heart = setInterval(() => agent.#say({ type: "server.heartbeat", properties: {} }), 500);
    return agent;
  }

  #feed(request, response) {
    this.asked += 1;
    if (request.get("last-event-id")) this.ids += 1;
    response.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform" });
    response.write(this.#frame({ type: "server.connected", properties: {} }));
    this.#feeds.add(response);
    response.on("close", () => this.#feeds.delete(response));
  }

  #frame(payload) {
    this.n += 1;
    return `data: ${JSON.stringify({ directory: "/project", payload: { id: `evt_${this.n}`, ...payload } })}\n\n`;
  }

  #say(payload) {
    const frame = this.#frame(payload);
    for (const feed of this.#feeds) feed.write(frame);
  }

  ask(id, text) {
    this.questions.set(id, { id, sessionID: "ses_1", text });
    this.#say({ type: "question.asked", properties: this.questions.get(id) });
  }

  reply(id) {
    this.questions.delete(id);
    this.#say({ type: "question.replied", properties: { sessionID: "ses_1", requestID: id } });
  }

  ping(n) {
    this.#say({ type: "ping", properties: { n } });
  }

  stop() {
    clearInterval(this.heart);
    this.http.close();
    this.http.closeAllConnections();
  }
}

let browser;

async function start() {
  browser = await launch();
}

/** A page, open, with two questions, one of them half answered. */
async function world(through, part) {
  const agent = await Agent.start();
  const respool = await Respool.start(`http://127.0.0.1:${agent.port}`, ROUTES);
  const relay = await Relay.start(through ? respool.port : agent.port);
  agent.ask("q1", "Which one?");
  const page = await browser.newPage();
  page.on("pageerror", (error) => check("the page runs", error.message));
  await page.goto(`http://127.0.0.1:${relay.port}/`);
  await page.waitForSelector("#q1 input", { timeout: 10_000 });
  agent.ask("q2", "And why?");
  await page.waitForSelector("#q2 input", { timeout: 10_000 });
  await page.fill("#q1 input", "the second");
  const seen = () => page.evaluate("seen()");
  await part({ agent, respool, relay, page, seen });
  await page.close();
  relay.stop();
  same("respool ends with 0 when told to", await respool.stop(), 0);
  agent.stop();
}

/** Cuts the page's stream; `meanwhile` happens before it is back. A browser takes some seconds for that. */
async function cut({ agent, relay, seen }, meanwhile) {
  await sleep(ARRIVE);
  const answers = relay.resumes.get(EVENTS).length;
  relay.cut(relay.streams(EVENTS)[0], 1);
  await meanwhile();
  await eventually(() => relay.resumes.get(EVENTS).length > answers, "return", 15);
  const n = Math.random();
  await eventually(async () => agent.ping(n) || (await seen()).pings === n, "event after the cut");
  await sleep(ARRIVE);
}

const answers = (relay) => relay.resumes.get(EVENTS);

const directly = () =>
  world(false, async (world) => {
    const { agent, seen } = world;
    await cut(world, () => agent.ask("q3", "Since when?"));
    const { open, drafts, loads } = await seen();
    same("without respool, a cut: the page loads again, and the answer is gone", [open, drafts, loads], [
      ["q1", "q2", "q3"],
      ["", "", ""],
      2,
    ]);
  });

const resumed = () =>
  world(true, async (world) => {
    const { agent, respool, relay, seen } = world;
    const CUTS = 2;
    await cut(world, () => {
      agent.ask("q3", "Since when?");
      agent.reply("q2");
    });
    await cut(world, () => {});
    const kinds = answers(relay).map((answer) => answer.split(";")[0]);
    same("through respool: each return was a resume", kinds, ["fresh", ...Array(CUTS).fill("resumed")]);
    same("through respool: the first one for two events", answers(relay)[1], "resumed; missed=2");
    same("through respool: by what is counted", await respool.answers(EVENTS), { fresh: 1, resumed: CUTS });
    same("through respool: one stream, and one request to admit each time", agent.asked, 1 + CUTS);
    same("through respool: no id of ours reached the server", agent.ids, 0);
    const { open, drafts, loads, hellos, over } = await seen();
    same("through respool: the question is still open, with what was written", [open, drafts], [
      ["q1", "q3"],
      ["the second", ""],
    ]);
    same("through respool: the page has loaded once, at its start", [loads, hellos, agent.loads], [1, 1, 1]);
    same("through respool: it never gave up", over, false);
  });

const unavailable = () =>
  world(true, async (world) => {
    const { agent, respool, relay, seen } = world;
    await cut(world, () => {
      agent.reply("q1");
      for (let n = 3; n < 4 + WINDOW; n++) agent.ask(`q${n}`, "Another");
    });
    same("no replay: it is told of a gap", answers(relay), ["fresh", "gap; reason=expired"]);
    same("no replay: by what is counted", await respool.answers(EVENTS), { fresh: 1, gap_expired: 1 });
    const { open, loads, hellos } = await seen();
    same("no replay: the page loads once more", [loads, hellos, agent.loads], [2, 2, 2]);
    same("no replay: and has what is open", open, [...agent.questions.keys()]);
    same("no replay: the server was asked twice", agent.asked, 2);
  });

await main(60, start, directly, resumed, unavailable, () => browser.close());
