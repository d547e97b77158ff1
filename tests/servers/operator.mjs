// What a new operator does, with a real server: from nothing to replay that was seen to work, within five minutes, by the
// commands that README names, with one file that `doctor --suggest` wrote. Mistakes that are made on the way explain
// themselves.
//
//     node operator.mjs opencode | sse-starlette
//
//     client ── relay ── respool ── server

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { EventSource } from "eventsource";

import { Relay, check, eventually, fail, freePort, main, same } from "../clients/world.mjs";
import { Opencode } from "./opencode-server.mjs";

const MINUTES = 5;
const CUTS = 5;
const FILE = "respool.toml";
// What README tells a new operator; a test compares. Addresses are put in, and nothing else.
const SUGGEST = "respool doctor --suggest http://127.0.0.1:9000/events > respool.toml";
const CHECK = "respool check respool.toml";
const RUN = "respool --config respool.toml";
const PROVE = "respool doctor http://127.0.0.1:8080/events";

// --- the servers: each is started as it always was, and people use it ---

const SERVERS = {
  opencode: {
    path: "/event",
    // It answers, with something else.
    other: "/session",
    type: "message",
    async start() {
      const { url, port } = await Opencode.start();
      const session = async (title) => {
        const headers = { "content-type": "application/json" };
        const body = JSON.stringify({ title });
        const answer = await fetch(`${url}/session`, { method: "POST", headers, body });
        if (!answer.ok) fail(`no session: ${answer.status}`);
        await answer.arrayBuffer();
      };
      let quiet;
      const use = (async () => {
        for (let n = 1; !quiet; n++) await session(`session ${n}`);
      })();
      const end = async () => {
        quiet = true;
        await use;
        await session("the last one");
        return (data) => data.includes('"the last one"');
      };
      return { port, end };
    },
    // What belongs to a connection.
    own: (data) => ["server.connected", "server.heartbeat"].includes(JSON.parse(data).type),
  },
  "sse-starlette": {
    path: "/feed",
    other: "/fed",
    type: "tick",
    async start() {
      const python = process.env.PYTHON ?? "python3";
      const program = new URL("../clients/server.py", import.meta.url).pathname;
      const server = spawn(python, [program], { stdio: ["ignore", "pipe", "inherit"] });
      process.on("exit", () => server.kill("SIGKILL"));
      const [port] = await once(createInterface({ input: server.stdout }), "line");
      const end = async () => {
        const { n } = await (await fetch(`http://127.0.0.1:${port}/quiet`)).json();
        return (data) => JSON.parse(data).n === n;
      };
      return { port: Number(port), end };
    },
    own: () => false,
  },
};

const name = process.argv[2];
const kind = SERVERS[name] ?? fail(`which server? ${Object.keys(SERVERS).join(" or ")}`);

// --- a shell, in a directory of its own ---

const place = mkdtempSync(join(tmpdir(), "respool-operator-"));
const children = [];
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(place, { recursive: true, force: true });
});
const file = join(place, FILE);
const PATH = [dirname(resolve(process.env.RESPOOL ?? "respool")), process.env.PATH].join(delimiter);
const env = { ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("RESPOOL"))), PATH };
const began = Date.now();
const clock = () => `${Math.round((Date.now() - began) / 1000)} s`.padStart(5);

/** Has a shell run this, and collects what it says. */
function shell(line) {
  console.log(`# ${clock()} $ ${line}`);
  const stdio = ["ignore", "pipe", "pipe"];
  const child = spawn("sh", ["-c", `exec ${line}`], { cwd: place, env, stdio });
  children.push(child);
  const shell = { child, out: "", err: "", exit: once(child, "close") };
  for (const [of, stream] of [["out", child.stdout], ["err", child.stderr]]) {
    stream.setEncoding("utf8").on("data", (text) => (shell[of] += text));
  }
  return shell;
}

/** Runs this to its end. */
async function run(line) {
  const ran = shell(line);
  const [code] = await ran.exit;
  return { ...ran, code };
}

/** A mistake: it ends with this code, and what the operator is shown says all of this. */
function explains(what, { code, out, err }, wanted, ...said) {
  same(`${what}: ends with ${wanted}`, code, wanted);
  const missing = said.find((one) => !(out + err).includes(one));
  check(`${what}: it says ${said.map((one) => `'${one}'`).join(", ")}`, missing && `no '${missing}' in\n${out}${err}`);
}

/** A respool that goes on; `ready` when it serves. */
async function serve(line) {
  const respool = shell(line);
  await eventually(() => respool.err.includes('"serving"') || respool.child.exitCode !== null, "respool that serves");
  if (respool.child.exitCode !== null) fail(`respool ended:\n${respool.err}`);
  respool.stop = async () => {
    respool.child.kill("SIGTERM");
    same("respool ends with 0 when told to", (await respool.exit)[0], 0);
  };
  return respool;
}

// --- what the operator does ---

let server, suggested;
const at = (port, path = kind.path) => `http://127.0.0.1:${port}${path}`;
const suggest = (url) => SUGGEST.replace(at(9000, "/events"), url);
const prove = (port) => PROVE.replace(at(8080, "/events"), at(port));

async function suggestion() {
  server = await kind.start();
  const nobody = await freePort();
  explains("a wrong port", await run(suggest(at(nobody))), 1, "wrong: unreachable", "something listens there");
  same("a wrong port: nothing else is taken for a configuration", readFileSync(file, "utf8"), "");
  const empty = await run(CHECK);
  explains("the empty file", empty, 2, FILE, "no upstream is given", 'upstream = "http://');
  const other = await run(suggest(at(server.port, kind.other)));
  explains("a wrong path", other, 1, "wrong: no-stream", "status ", "give the URL that clients use");
  const { code, err } = await run(suggest(at(server.port)));
  same("a configuration is proposed", code, 0);
  same("a configuration is proposed, without a word of anything wrong", err, "");
  suggested = readFileSync(file, "utf8");
  console.log(suggested.replace(/^/gm, "#   "));
}

async function typo() {
  const lines = suggested.split("\n");
  const line = 1 + lines.findIndex((line) => line.startsWith("mode = "));
  writeFileSync(file, suggested.replace(/^mode = /m, "mdoe = "));
  const where = `${FILE}:${line}:1`;
  const said = [where, "unknown key `mdoe`", "did you mean `mode`?"];
  explains("a misspelt key", await run(CHECK), 2, ...said);
  explains("a misspelt key, at a start", await run(RUN), 2, ...said);
  writeFileSync(file, suggested);
  const { code, out, err } = await run(CHECK);
  same("mended, nothing is wrong with the file", [code, out, err], [0, "ok\n", ""]);
}

async function wrong() {
  const taken = await run(`${RUN} --listen 127.0.0.1:${server.port}`);
  explains("the port of the server itself", taken, 1, "in use", "choose another with --listen");
  const [port, nobody] = [await freePort(), await freePort()];
  const astray = await serve(`${RUN} --listen 127.0.0.1:${port} --upstream http://127.0.0.1:${nobody}`);
  const said = ["wrong: unanswered", "see that the event server runs", "`upstream` and its log say"];
  explains("a wrong upstream", await run(prove(port)), 1, ...said);
  const log = astray.err.split("\n").find((line) => line.includes("the upstream did not answer")) ?? "nothing";
  check("a wrong upstream: the log says why", log.includes("Connection refused") ? "" : log);
  await astray.stop();
}

async function works() {
  const port = await freePort();
  const respool = await serve(`${RUN} --listen 127.0.0.1:${port}`);
  const { code, out, err } = await run(prove(port));
  console.log(out.replace(/^/gm, "#   "));
  same("the doctor finds nothing wrong", [code, err], [0, ""]);
  const [, cuts, resumed, missed] = /; (\d+) cuts, (\d+) resumed with (\d+) missed/.exec(out) ?? [];
  check("the doctor: each of its cuts was made up for", cuts > 0 && cuts === resumed && missed > 0 ? "" : out);
  check("the doctor says so", /^Whole: [1-9]\d* events .* came to both, once and in order\.$/m.test(out) ? "" : out);
  await client(port);
  await respool.stop();
  same("nothing in the file had to be changed", readFileSync(file, "utf8"), suggested);
}

/** What a client by npm `eventsource` dispatched. */
function listen(port) {
  const client = { events: [], source: new EventSource(at(port)) };
  client.source.addEventListener(kind.type, ({ data }) => kind.own(data) || client.events.push(data));
  return client;
}

/** A client that is cut has what another one has, which is connected to the server itself. */
async function client(port) {
  const relay = await Relay.start(port);
  const [direct, cut] = [listen(server.port), listen(relay.port)];
  const both = [direct, cut];
  await eventually(() => direct.events.includes(cut.events.at(-1)), "event for both");
  const first = cut.events.at(-1);
  await relay.cutEach(kind.path, CUTS, 400);
  await eventually(() => relay.streams(kind.path).length === 1, "return of the client");
  const is = await server.end();
  await eventually(() => both.every(({ events }) => events.some(is)), "last event for both");
  const [due, got] = both.map(({ events }) => events.slice(events.indexOf(first), 1 + events.findIndex(is)));
  const wrong = due.findIndex((event, n) => event !== got[n]);
  const of = `a client that is cut ${CUTS} times, ${due.length} events`;
  const what = wrong < 0 ? got[due.length] && "more came" : `${got[wrong]} where ${due[wrong]} was due`;
  check(`${of}: each once, in order`, what);
  const [fresh, ...resumes] = relay.resumes.get(kind.path);
  same("it was a new client once", fresh, "fresh");
  const missed = resumes.map((resume) => /^resumed; missed=(\d+)$/.exec(resume)?.[1] ?? fail(`${resume}, not resumed`));
  same("it resumed each time", missed.length, CUTS);
  const all = missed.reduce((sum, n) => sum + Number(n), 0);
  check(`it got ${all} events that it had missed`, all > 0 ? "" : "none");
  for (const { source } of both) source.close();
  relay.stop();
}

async function done() {
  console.log(`# ${name}: all of it took ${clock().trim()}`);
}

await main(60 * MINUTES, suggestion, typo, wrong, works, done);
