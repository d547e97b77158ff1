// nginx, Caddy and HAProxy in front of respool, each by its file in deploy/fronts.
//
//     client ── relay ── front ── respool ── event server
//
// What is asked of each: that it holds nothing back, that a cut on its far side is resumed, that a cut on respool's side
// arrives as one, and that respool knows at once when a client has gone. Names of fronts as arguments run those alone.

import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  Origin,
  Relay,
  Respool,
  check,
  eventually,
  fail,
  freePort,
  listen,
  main,
  numbered,
  same,
  todo,
  whole,
} from "./world.mjs";

const CUTS = 10;

/** How each is checked and run, with its file in a place of its own; and how its file says where it listens. */
const FRONTS = {
  nginx: {
    file: "nginx.conf",
    listens: ["listen 80;", (port) => `listen 127.0.0.1:${port};`],
    check: (file, place) => [
      "nginx",
      "-t",
      "-q",
      "-e",
      "stderr",
      "-p",
      place,
      "-g",
      `pid ${place}/pid;`,
      "-c",
      file,
    ],
    run: (file, place) => [
      ...["nginx", "-e", "stderr", "-p", place, "-g", `daemon off; pid ${place}/pid;`, "-c", file],
    ],
  },
  caddy: {
    file: "Caddyfile",
    // Without the admin's port, which is the same for all of a machine.
    listens: [":80 {", (port) => `{\n\tadmin off\n}\n\nhttp://127.0.0.1:${port} {`],
    check: (file) => ["caddy", "validate", "--config", file, "--adapter", "caddyfile"],
    run: (file) => ["caddy", "run", "--config", file, "--adapter", "caddyfile"],
    /** Whether it makes a proper end of a cut. */
    mends: () => {
      const [, minor] = /^v?2\.(\d+)/.exec(execFileSync("caddy", ["version"], { encoding: "utf8" })) ?? [];
      return minor < 8;
    },
  },
  haproxy: {
    file: "haproxy.cfg",
    listens: ["bind :80\n", (port) => `bind 127.0.0.1:${port}\n`],
    check: (file) => ["haproxy", "-c", "-q", "-f", file],
    run: (file) => ["haproxy", "-db", "-f", file],
  },
};

const accepts = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.destroy(resolve(true)));
    socket.on("error", () => resolve(false));
  });

/** A front by its file, which differs in where it listens and where respool is, and in nothing else. */
class Front {
  static async start(name, respool) {
    const { file, listens, check: checks, run } = FRONTS[name];
    const front = new Front();
    front.port = await freePort();
    front.place = mkdtempSync(join(tmpdir(), "respool-fronts-"));
    let text = readFileSync(new URL(`fronts/${file}`, import.meta.url), "utf8");
    for (const [from, to] of [
      [listens[0], listens[1](front.port)],
      ["127.0.0.1:8080", `127.0.0.1:${respool.port}`],
    ]) {
      if (text.split(from).length !== 2) fail(`${file} has ${JSON.stringify(from)} not once`);
      text = text.replace(from, to);
    }
    const path = join(front.place, file);
    writeFileSync(path, text);
    const env = {
      ...process.env,
      HOME: front.place,
      XDG_DATA_HOME: front.place,
      XDG_CONFIG_HOME: front.place,
    };
    const [command, ...words] = checks(path, front.place);
    execFileSync(command, words, { env, stdio: ["ignore", "ignore", "pipe"] });
    const [program, ...args] = run(path, front.place);
    front.said = "";
    // A group of its own: nginx has workers.
    front.child = spawn(program, args, { env, stdio: ["ignore", "ignore", "pipe"], detached: true });
    front.child.stderr.on("data", (bytes) => (front.said += bytes));
    front.child.on("exit", () => front.stopping || fail(`${name} ended:\n${front.said}`));
    process.on("exit", () => front.kill());
    await eventually(() => accepts(front.port), `${name} on its port`);
    return front;
  }

  kill() {
    try {
      process.kill(-this.child.pid, "SIGKILL");
    } catch {
      // It is gone.
    }
    rmSync(this.place, { recursive: true, force: true });
  }

  async stop() {
    this.stopping = true;
    const exit = once(this.child, "exit");
    this.kill();
    await exit;
  }
}

/** What a request gets, as it comes: its head, its text, and whether that ended properly or was cut. */
class Raw {
  text = "";
  end = "";

  constructor(port, path, headers = {}) {
    this.request = http.get({ host: "127.0.0.1", port, path, headers, agent: false });
    this.request.on("error", () => (this.end ||= "cut"));
    this.request.on("response", (response) => {
      this.head = response;
      response.on("data", (bytes) => (this.text += bytes));
      response.on("error", () => {});
      response.on("close", () => (this.end = response.complete ? "ended" : "cut"));
    });
  }
}

/** What the event server answers besides: streams that the test ends, its own view of a request, and an echo. */
async function world(name, part) {
  const ends = [];
  const more = (app) => {
    app.get("/ends", (_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: first\n\n");
      ends.push(response);
    });
    app.get("/seen", (request, response) => response.json(request.headers));
  };
  const origin = await Origin.start({}, { beats: false, more });
  origin.server.on("upgrade", (request, socket) => {
    const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const accept = createHash("sha1").update(key).digest("base64");
    const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`;
    socket.write(`${head}Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.on("error", () => {}).pipe(socket);
  });
  const respool = await Respool.start(origin.url);
  const front = await Front.start(name, respool);
  await part({ origin, respool, front, ends });
  await front.stop();
  same(`${name}: respool ends with 0 when told to`, await respool.stop(), 0);
  origin.stop();
}

/** Each event is here before the next one is sent, whatever the client says that it could read. */
async function oneByOne(name, { origin, front }) {
  const wants = {
    "an EventSource": { accept: "text/event-stream", "accept-encoding": "gzip, deflate, br, zstd" },
    curl: { accept: "*/*" },
    "curl --compressed": { accept: "*/*", "accept-encoding": "gzip, deflate, br, zstd" },
  };
  for (const [who, headers] of Object.entries(wants)) {
    const client = new Raw(front.port, "/feed", headers);
    await eventually(() => client.head, `head through ${name} for ${who}, before any event`);
    const {
      "content-type": type,
      "content-encoding": coding,
      "respool-resume": resume,
    } = client.head.headers;
    const said = [type.split(";")[0], coding ?? "identity", resume];
    same(`${name}, ${who}: the head, before any event`, said, ["text/event-stream", "identity", "fresh"]);
    for (let sent = 0; sent < 10; sent++) {
      origin.say();
      const last = `data: {"n":${origin.n},`;
      await eventually(() => client.text.includes(last), `event ${origin.n} through ${name} for ${who}`);
    }
    check(`${name}, ${who}: each event came before the next was sent`);
    client.request.destroy();
  }
}

/** Who has gone is not kept: nothing is sent meanwhile, and the next heartbeat is far. */
async function gone(name, { respool, origin, front }) {
  const attached = async () => {
    const response = await fetch(`http://127.0.0.1:${respool.admin}/metrics`);
    const numbers = (await response.text()).matchAll(/^respool_clients\{.*?\} (\d+)$/gm);
    return [...numbers].reduce((sum, [, number]) => sum + Number(number), 0);
  };
  await eventually(async () => (await attached()) === 0, `end of clients that left ${name}`);
  const client = new Raw(front.port, "/feed");
  await eventually(() => client.head, `head through ${name}`);
  same(`${name}: respool counts its client`, await attached(), 1);
  client.request.destroy();
  await eventually(async () => (await attached()) === 0, `end of a client that left ${name}`);
  check(`${name}: respool knows at once that a client has gone`);
  check(
    `${name}: and keeps the upstream's connection for it`,
    origin.open.get("/feed") > 0 ? "" : "it is gone",
  );
}

async function cuts(name, { origin, respool, front }) {
  const relay = await Relay.start(front.port);
  origin.talk();
  for (const [path, kind] of [
    ["/feed/cut", "private"],
    ["/admitted", "shared"],
  ]) {
    const before = relay.cuts;
    const client = listen(`http://127.0.0.1:${relay.port}${path}`);
    await eventually(() => client.events.length > 0, `first event through ${name}`);
    await relay.cutAtRandom(path, CUTS, 200);
    const last = origin.n + 1;
    await eventually(() => client.events.at(-1).n >= last, `event after the last cut, through ${name}`);
    client.source.close();
    const of = `${name}, ${kind}, ${relay.cuts - before} cuts, ${client.events.length} events`;
    const { n } = client.events.at(-1);
    check(`${of}: each once, in order`, whole(client.events, client.events[0].n, n));
    check(`${of}: ids are ours`, numbered(client.ids));
    same(`${of}: the client never gave up`, client.closed, false);
    const route = kind === "shared" ? path : "default";
    same(`${of}: each answer was a resume`, await respool.answers(route), { fresh: 1, resumed: CUTS });
  }
  origin.quiet();
  same(`${name}: no id of ours reached the server`, origin.ids, 0);
  relay.stop();
}

/** Every client comes back after a cut; several never do after a proper end. */
async function ends(name, { front, ends }) {
  for (const [how, end] of [
    ["cut", (response) => response.destroy()],
    ["ended", (response) => response.end()],
  ]) {
    const client = new Raw(front.port, "/ends");
    await eventually(() => client.text.includes("data: first"), `event through ${name}`);
    end(ends.pop());
    await eventually(() => client.end, `end of a stream through ${name}`);
    const what = `${name}: a stream that was ${how} by its upstream`;
    // Known of this version, and said in its file.
    if (how === "cut" && FRONTS[name].mends?.()) todo(what, client.end === how ? "" : client.end);
    else same(what, client.end, how);
  }
}

async function passes(name, { front }) {
  const host = `127.0.0.1:${front.port}`;
  const headers = await (await fetch(`http://${host}/seen`)).json();
  same(`${name}: the server sees whom the client asked for`, headers.host, host);
  const via = [headers["x-forwarded-for"]?.split(",")[0], headers["x-forwarded-proto"]];
  same(`${name}: and who asked, how`, via, ["127.0.0.1", "http"]);
  const upgrade = {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  };
  const request = http.get({ host: "127.0.0.1", port: front.port, path: "/socket", headers: upgrade });
  const [response, socket] = await once(request, "upgrade");
  same(`${name}: an upgrade passes`, response.statusCode, 101);
  for (const said of ["there", "and back"]) {
    socket.write(said);
    same(`${name}: and what is said then`, String((await once(socket, "data"))[0]), said);
  }
  socket.destroy();
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(FRONTS);
const all = (name) => () =>
  world(name, async (its) => {
    for (const part of [oneByOne, gone, cuts, ends, passes]) await part(name, its);
  });

await main(60 * names.length, ...names.map(all));
