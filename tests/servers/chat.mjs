// Streamed answers of a language model, as OpenAI's API sends them: the tokens of an answer to a POST. The official
// client, as it is and with a `fetch` that comes back, and a client that comes back by itself.
//
//     client ── relay ── respool ── a server that speaks as OpenAI's does

import { once } from "node:events";

import { fetchEventSource } from "@microsoft/fetch-event-source";
import express from "express";
import OpenAI from "openai";

import { Relay, Respool, check, eventually, main, same, sleep } from "../clients/world.mjs";
import { configuration } from "./reader.mjs";
import { resuming } from "./resuming.mjs";

const CUTS = 5;
const TOKENS = 150;
const PATH = "/v1/chat/completions";
const ROUTE = "/v1/{chat/completions,completions,responses}";
const QUESTION = { model: "a-model", stream: true, messages: [{ role: "user", content: "Count, please." }] };
/** What is asked for besides: a long silence in the middle. */
const SLOWLY = { ...QUESTION, messages: [{ role: "user", content: "Think first." }] };
const ANSWER = Array.from({ length: TOKENS }, (_, n) => `${n} grün 😀 `);

// What `@microsoft/fetch-event-source` expects of a browser.
globalThis.window ??= globalThis;
globalThis.document ??= { addEventListener() {}, removeEventListener() {}, hidden: false };

/** It answers every question alike, and stops when nobody listens. */
class Model {
  /** How often it was asked, by whom, and how often with an id. */
  asked = new Map();
  ids = 0;
  /** Tokens that it made in vain or not. */
  tokens = 0;

  static async start() {
    const model = new Model();
    const app = express().use(express.json());
    app.post(PATH, (request, response) => model.#answer(request, response));
    model.server = app.listen(0, "127.0.0.1");
    await once(model.server, "listening");
    model.port = model.server.address().port;
    return model;
  }

  async #answer(request, response) {
    const who = request.get("authorization");
    this.asked.set(who, (this.asked.get(who) ?? 0) + 1);
    if (request.get("last-event-id")) this.ids += 1;
    const { model, stream, messages } = request.body;
    const about = { id: "chatcmpl-1", object: "chat.completion", created: 1, model };
    if (!stream) {
      const message = { role: "assistant", content: ANSWER.join("") };
      return response.json({ ...about, choices: [{ index: 0, message, finish_reason: "stop" }] });
    }
    response.set("Content-Type", "text/event-stream; charset=utf-8").flushHeaders();
    const say = (delta, finish_reason = null) => {
      const chunk = { ...about, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason }] };
      response.write(`data: ${JSON.stringify(chunk)}\n\n`);
    };
    for (const [n, content] of ANSWER.entries()) {
      await sleep(messages[0].content === "Think first." && n === 10 ? 2500 : 15);
      if (response.destroyed) return;
      this.tokens += 1;
      say(n ? { content } : { role: "assistant", content });
    }
    say({}, "stop");
    response.write("data: [DONE]\n\n");
    // A cut may come between the last word and the end.
    await sleep(500);
    response.end();
  }
}

let model, respool;

async function open() {
  model = await Model.start();
  const routes = configuration("Streamed chat completions").replace("[[route]]", '$&\nheartbeat = "1s"');
  respool = await Respool.start(`http://127.0.0.1:${model.port}`, routes);
}

/** What became of one question: the tokens that came, and with what error it ended. */
class Asked {
  tokens = [];
  error = "";
  done = 0;

  /** `port` is that of respool, or of the server itself. */
  static async through(port, who) {
    const asked = new Asked();
    asked.who = `Bearer ${who}`;
    asked.relay = await Relay.start(port);
    asked.base = `http://127.0.0.1:${asked.relay.port}`;
    return asked;
  }

  /** By the official client. */
  async byOpenai(fetch, question = QUESTION) {
    const apiKey = this.who.slice("Bearer ".length);
    const openai = new OpenAI({ baseURL: `${this.base}/v1`, apiKey, fetch, maxRetries: 3 });
    try {
      for await (const { choices } of await openai.chat.completions.create(question)) {
        if (choices[0].delta.content) this.tokens.push(choices[0].delta.content);
        this.done += choices[0].finish_reason === "stop" ? 1 : 0;
      }
    } catch (error) {
      this.error = error.constructor.name;
    }
  }

  /** By a client that comes back after each cut, with the last id if it has one. */
  async byFetch() {
    const headers = { "content-type": "application/json", authorization: this.who };
    const onmessage = ({ data }) => {
      if (data === "[DONE]") return (this.done += 1);
      const { content } = JSON.parse(data).choices[0].delta;
      if (content) this.tokens.push(content);
    };
    const body = JSON.stringify(QUESTION);
    const rest = { method: "POST", headers, body, openWhenHidden: true };
    await fetchEventSource(this.base + PATH, { ...rest, onmessage, onerror: () => 50 });
  }

  /** Cuts it, each time when some more has come. */
  async cuts(count, how) {
    for (let n = 0; n < count; n++) {
      const before = this.tokens.length;
      await eventually(() => this.tokens.length >= before + 3, "tokens");
      await sleep(Math.random() * 80);
      const { cuts } = this.relay;
      this.relay.streams(PATH).forEach((pair) => this.relay.cut(pair, how));
      await eventually(() => this.relay.cuts > cuts, "cut");
    }
  }

  /** Cuts it between the last word and the end. */
  async cutsTheEnd() {
    await eventually(() => this.done, "last word", 30);
    this.relay.streams(PATH).forEach((pair) => this.relay.cut(pair, 0.6));
  }

  times() {
    return model.asked.get(this.who);
  }

  /** What is wrong with it, if it is to be the answer. */
  whole() {
    const wrong = this.tokens.findIndex((token, n) => token !== ANSWER[n]);
    if (wrong >= 0) return `${this.tokens[wrong]} came where ${ANSWER[wrong]} was due`;
    return this.tokens.length === TOKENS ? "" : `${this.tokens.length} tokens of ${TOKENS}, then ${this.error}`;
  }

  /** It was asked for once, and each later answer was the rest. */
  resumed(what, cuts) {
    check(`${what}, ${cuts} cuts: the answer, each token once, in order`, this.whole());
    same(`${what}: it ends as it should`, [this.error, this.done], ["", 1]);
    same(`${what}: the model is asked once`, this.times(), 1);
    const [first, ...later] = this.relay.resumes.get(PATH);
    const wrong = later.find((answer) => !/^resumed; missed=\d+$/.test(answer));
    check(`${what}: each answer was a resume`, first === "fresh" ? (wrong ?? "") : first);
    same(`${what}: it came back ${cuts} times`, later.length, cuts);
    this.relay.stop();
  }
}

/** The official client does not come back: whoever cuts it has the half of an answer. */
async function asItIs() {
  for (const [name, port] of [["without respool", model.port], ["through respool", respool.port]]) {
    const asked = await Asked.through(port, `as it is, ${name}`);
    await Promise.all([asked.byOpenai(), asked.cuts(1)]);
    const { length } = asked.tokens;
    check(`openai, ${name}, one cut: it has ${length} of ${TOKENS} tokens`, length < TOKENS ? "" : asked.whole());
    same(`openai, ${name}: its user is told`, [asked.error !== "", asked.done], [true, 0]);
    same(`openai, ${name}: the model is asked once`, asked.times(), 1);
    asked.relay.stop();
  }
}

async function withFetch() {
  const bare = await Asked.through(model.port, "resuming, without respool");
  await Promise.all([bare.byOpenai(resuming), bare.cuts(1)]);
  same("openai with a fetch that comes back, without respool: its user is told", bare.error !== "", true);
  bare.relay.stop();
  const asked = await Asked.through(respool.port, "resuming");
  await Promise.all([asked.byOpenai(resuming), asked.cuts(CUTS)]);
  asked.resumed("openai with a fetch that comes back", CUTS);
}

/** One that comes back by itself: without an id it puts its question again. */
async function again() {
  const bare = await Asked.through(model.port, "again, without respool");
  const { tokens } = model;
  await Promise.all([bare.byFetch(), bare.cuts(CUTS, 0.6), bare.cutsTheEnd()]);
  const of = `fetch-event-source, without respool, ${CUTS} cuts and one before the end`;
  same(`${of}: the model is asked each time`, bare.times(), 1 + CUTS + 1);
  same(`${of}: it has been told the end twice`, bare.done, 2);
  const more = bare.tokens.length - TOKENS;
  check(`${of}: ${more} tokens too many`, more >= TOKENS + CUTS * 3 ? "" : `${bare.tokens.length} tokens`);
  const all = model.tokens - tokens;
  check(`${of}: the model has made ${all}`, all >= bare.tokens.length ? "" : `no more than ${all}`);
  bare.relay.stop();
  const asked = await Asked.through(respool.port, "again");
  const made = model.tokens;
  await Promise.all([asked.byFetch(), asked.cuts(CUTS), asked.cutsTheEnd()]);
  asked.resumed("fetch-event-source, with a cut before the end too", CUTS + 1);
  same("fetch-event-source: no token is made twice", model.tokens - made, TOKENS);
}

/** Heartbeats in a silence are nothing to the official client. */
async function silence() {
  const asked = await Asked.through(respool.port, "slowly");
  await asked.byOpenai(undefined, SLOWLY);
  asked.resumed("openai, with heartbeats in a silence", 0);
}

/** What is no stream is as the server says. */
async function atOnce() {
  const body = JSON.stringify({ ...QUESTION, stream: false });
  const ask = async (port) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`http://127.0.0.1:${port}${PATH}`, { method: "POST", headers, body });
    return [answer.status, answer.headers.get("content-type"), await answer.text()];
  };
  same("an answer in one piece is as without respool", await ask(respool.port), await ask(model.port));
}

async function close() {
  same("no id of ours reached the server", model.ids, 0);
  const answers = { fresh: 4, resumed: 2 * CUTS + 1 };
  same("each answer of respool is a new one or a resume", await respool.answers(ROUTE), answers);
  same("respool ends with 0 when told to", await respool.stop(), 0);
}

const all = () => Promise.all([asItIs(), withFetch(), silence(), atOnce()]);

await main(60, open, all, again, close);
