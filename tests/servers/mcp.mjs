// MCP servers, by both transports, with the official client: calls that are cut while they last, and what a server says
// by itself. The reference server keeps what it sent; one without that, as most are, is here besides.
//
//     client ── relay ── respool ── counter ── MCP server

import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { LoggingMessageNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

import { Relay, Respool, check, eventually, fail, main, same, sleep, whole } from "../clients/world.mjs";
import { plain } from "./mcp-server.mjs";
import { configuration, impatient } from "./reader.mjs";
import { resuming } from "./resuming.mjs";

const CALLS = 3;
const STEPS = 20;
const EVERYTHING = new URL("node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url);
const HASTE = {
  initialReconnectionDelay: 50,
  maxReconnectionDelay: 50,
  reconnectionDelayGrowFactor: 1,
  maxRetries: 20,
};

/** A port that nobody has. */
async function free() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** The reference server. */
async function everything(transport) {
  const port = await free();
  const env = { PATH: process.env.PATH, PORT: `${port}` };
  const child = spawn(process.execPath, [EVERYTHING.pathname, transport], { env, stdio: "ignore" });
  process.on("exit", () => child.kill("SIGKILL"));
  child.on("exit", () => fail(`server-everything ${transport} ended`));
  const path = transport === "sse" ? "/sse" : "/mcp";
  const answers = () => fetch(`http://127.0.0.1:${port}/none`).then(() => true, () => false);
  await eventually(answers, `server-everything ${transport}`, 20);
  return { port, path };
}

/** Such a server, with respool in front of it, and what stands between them and counts. */
class Behind {
  static async respool(server) {
    const behind = Object.assign(new Behind(), server);
    behind.counter = await Relay.start(server.port);
    const routes = configuration("MCP servers");
    behind.respool = await Respool.start(`http://127.0.0.1:${behind.counter.port}`, routes);
    return behind;
  }

  async stop() {
    same(`${this.path}: respool ends with 0 when told to`, await this.respool.stop(), 0);
    this.counter.stop();
  }
}

/** The official client, by whichever transport, and all that it was answered. */
class Caller {
  /** What it was answered: method, status, and `Respool-Resume`. */
  answers = [];
  /** What the server said by itself. */
  said = [];
  /** How far its last call is. */
  progress = [];

  static async connect(port, path, ask = fetch) {
    const caller = new Caller();
    caller.path = path;
    caller.relay = await Relay.start(port);
    const url = new URL(`http://127.0.0.1:${caller.relay.port}${path}`);
    const its = async (input, init) => {
      const answer = await ask(input, init);
      const method = init?.method ?? "GET";
      caller.answers.push([method, answer.status, answer.headers.get("respool-resume")]);
      return answer;
    };
    const transport =
      path === "/sse"
        ? new SSEClientTransport(url, { fetch: its })
        : new StreamableHTTPClientTransport(url, { fetch: its, reconnectionOptions: HASTE });
    caller.client = new Client({ name: "respool-test", version: "1.0.0" });
    caller.client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
      caller.said.push(params.data);
    });
    await caller.client.connect(transport);
    // It forgets the last progress of a call when the answer comes in the same piece: what came is seen here.
    const { onmessage } = transport;
    transport.onmessage = (message) => {
      if (message.method === "notifications/progress") caller.progress.push(message.params.progress);
      onmessage(message);
    };
    // By the one transport all comes by its first GET, by the other what belongs to no call.
    const answered = () => caller.answers.some(([method]) => method === "GET");
    await eventually(() => answered() && caller.gets().length === 1, "stream by GET");
    [caller.standing] = caller.gets();
    return caller;
  }

  gets() {
    return this.relay.streams(this.path).filter(({ method }) => method === "GET");
  }

  /** A call that lasts for a second, cut twice meanwhile. Gives what came of it: what is wrong, and its progress. */
  async call(cuts = 2) {
    const progress = (this.progress = []);
    const onprogress = () => {};
    const params = { name: "trigger-long-running-operation", arguments: { duration: 1, steps: STEPS } };
    const called = this.client.callTool(params, undefined, { onprogress, timeout: 4000 }).then(
      ({ content }) => (content[0].text.startsWith("Long running operation completed") ? "" : content[0].text),
      (error) => error.message,
    );
    for (let n = 0; n < cuts; n++) {
      const { length } = progress;
      const until = () => progress.length >= length + 3;
      for (let tries = 0; tries < 100 && !until(); tries++) await sleep(10);
      if (!until()) break;
      this.cut();
    }
    return { wrong: await called, progress };
  }

  /** Cuts what carries a call. */
  cut() {
    const streams = this.relay.streams(this.path);
    const its = this.path === "/sse" ? streams : streams.filter((pair) => pair !== this.standing);
    its.forEach((pair) => this.relay.cut(pair, 0.5 + Math.random() / 2));
  }

  async stop() {
    await this.client.close();
    this.relay.stop();
  }
}

const STEPS_DONE = Array.from({ length: STEPS }, (_, n) => n + 1);

/** Calls that are answered, however often they are cut, and nothing of them is asked of the server twice. */
async function answered(of, behind, caller) {
  const asked = new Map(behind.counter.asked);
  caller.answers.length = 0;
  caller.relay.resumes.clear();
  for (let n = 1; n <= CALLS; n++) {
    const { wrong, progress } = await caller.call();
    check(`${of}: call ${n} is answered, over two cuts`, wrong);
    same(`${of}: its progress, each step once, in order`, progress, STEPS_DONE);
  }
  const since = [...behind.counter.asked].map(([what, times]) => [what, times - (asked.get(what) ?? 0)]);
  const posts = behind.path === "/sse" ? "POST /message" : "POST /mcp";
  const due = [[posts, CALLS]];
  same(`${of}: the server is asked for the calls, and nothing else`, since.filter(([, times]) => times), due);
  const back = caller.answers.filter(([method]) => method === "GET");
  const wrong = back.find(([, status, resume]) => status !== 200 || !/^resumed; missed=\d+$/.test(resume));
  check(`${of}: each answer was a resume`, wrong ? wrong.join(" ") : "");
  const through = caller.relay.resumes.get(caller.path).filter((answer) => /^resumed/.test(answer)).length;
  check(`${of}: it came back each time`, through === 2 * CALLS ? "" : `${through} times`);
}

/** Calls that are lost by a cut: nobody answers them. */
async function lost(of, caller) {
  const { wrong, progress } = await caller.call(1);
  const { length } = progress;
  const name = `${of}, one cut: no answer, after ${length} steps of ${STEPS}`;
  check(name, /timed out/i.test(wrong) ? "" : wrong || "answered");
}

/** A call that is cut before anything of it came: the client has no id to come back by. */
async function early(of, behind, caller) {
  const params = { name: "trigger-long-running-operation", arguments: { duration: 1, steps: 1 } };
  const called = caller.client.callTool(params, undefined, { timeout: 4000 }).then(
    () => "it is answered",
    () => "",
  );
  await sleep(300);
  caller.relay.down();
  await caller.relay.up(behind.respool.port);
  check(`${of}, cut before its first event: no answer`, await called);
}

// --- streamable HTTP ---

/** The reference server keeps what it sent, and goes on with it by nothing that happens after the client came back. */
async function reference() {
  const server = await everything("streamableHttp");
  const bare = await Caller.connect(server.port, server.path);
  const behind = await Behind.respool(server);
  const caller = await Caller.connect(behind.respool.port, server.path);
  await Promise.all([
    lost("streamable HTTP, reference server, without respool", bare),
    answered("streamable HTTP, reference server", behind, caller),
  ]);
  for (const its of [bare, caller]) await its.stop();
  await behind.stop();
}

/** One that keeps nothing. What it says by itself comes by the first GET. */
async function others() {
  const server = await plain();
  const bare = await Caller.connect(server.port, "/mcp");
  const behind = await Behind.respool({ ...server, path: "/mcp" });
  const caller = await Caller.connect(behind.respool.port, "/mcp");
  await said(server, behind, bare, caller);
  await Promise.all([
    lost("streamable HTTP, without a store, without respool", bare),
    answered("streamable HTTP, without a store", behind, caller),
  ]);
  const other = await Caller.connect(behind.respool.port, "/mcp");
  await early("streamable HTTP, without a store", behind, other);
  for (const its of [bare, caller, other]) await its.stop();
  server.stop();
  await behind.stop();
}

/** What the server says by itself, while that stream is cut. */
async function said(server, behind, bare, caller) {
  const cuts = 5;
  const of = "streamable HTTP, what the server says by itself";
  caller.answers.length = 0;
  const mouth = setInterval(() => server.say(), 20);
  await Promise.all(
    [bare, caller].map(async (its) => {
      await eventually(() => its.said.length > 0, `word for ${of}`);
      for (let n = 0; n < cuts; n++) {
        await sleep(Math.random() * 200);
        const cut = its.standing;
        its.relay.cut(cut);
        await eventually(() => its.gets().some((pair) => pair !== cut), `return for ${of}`);
        its.standing = its.gets().find((pair) => pair !== cut);
      }
    }),
  );
  clearInterval(mouth);
  const last = server.say();
  await eventually(() => [bare, caller].every((its) => its.said.at(-1).n === last), `last word for ${of}`);
  const name = `${of}, ${cuts} cuts, ${caller.said.length} events: each once, in order`;
  check(name, whole(caller.said, caller.said[0].n, last, () => undefined));
  const due = last - bare.said[0].n + 1;
  const missing = due - bare.said.length;
  check(`${of}, without respool, ${cuts} cuts: it loses ${missing} of ${due}`, missing > 0 ? "" : "none");
  const back = caller.answers.map(([method, status, resume]) => `${method} ${status} ${resume.split("=")[0]}`);
  same(`${of}: each answer was a resume`, back, Array(cuts).fill("GET 200 resumed; missed"));
  same(`${of}: one stream from the server`, behind.counter.asked.get("GET /mcp"), 1);
}

// --- the older transport ---

async function older() {
  const server = await everything("sse");
  const behind = await Behind.respool(server);
  const bare = await Caller.connect(server.port, server.path, impatient);
  const asItIs = await Caller.connect(behind.respool.port, server.path, impatient);
  await Promise.all([
    lost("sse, without respool", bare),
    lost("sse, the official client as it is, through respool", asItIs),
  ]);
  const brought = asItIs.answers.filter(([method]) => method === "GET").map(([, , resume]) => resume);
  same("sse, the official client as it is: it brings no id", brought, ["fresh", "fresh"]);
  const caller = await Caller.connect(behind.respool.port, server.path, resuming);
  await answered("sse, the official client with a fetch that comes back", behind, caller);
  for (const its of [bare, asItIs, caller]) await its.stop();
  await behind.stop();
}

await main(80, () => Promise.all([reference(), others(), older()]));
