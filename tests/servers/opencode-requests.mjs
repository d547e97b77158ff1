// All that is asked of opencode but its event streams: through respool it is answered as by the server itself.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { WebSocket } from "ws";

import { check, eventually, fail, same } from "../clients/world.mjs";

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

async function ask(server, directory, { method, to, headers, body }) {
  const where = `${to.includes("?") ? "&" : "?"}directory=${encodeURIComponent(directory)}`;
  const signal = AbortSignal.timeout(10_000);
  const given = { "accept-encoding": "identity", ...headers };
  const answer = await fetch(server + to + where, { method, headers: given, body, signal });
  const text = await answer.text();
  const length = `${Buffer.byteLength(text)}`;
  const head = [...answer.headers]
    .filter(([name]) => name !== "date" && name !== "connection")
    .map(([name, value]) => (name === "content-length" && value === length ? [name, "right"] : [name, value]));
  const said = alike(text).replaceAll(directory.slice(1), "here");
  return { id: /ses_\w+/.exec(text)?.[0], said: [answer.status, head, said] };
}

/** Asks the server itself, then through respool at `base`, and compares. */
export async function requests(opencode, base) {
  const answers = [];
  // Each in a directory of its own: what is in one is the same then.
  for (const server of [opencode.url, base]) {
    const directory = opencode.directory + answers.length;
    mkdirSync(directory);
    writeFileSync(join(directory, "file.txt"), "grün €4 😀\n");
    let id;
    const said = [];
    for (const request of REQUESTS) {
      const what = typeof request === "function" ? request(id) : request;
      const answer = await ask(server, directory, what);
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
export async function terminal(opencode, base) {
  const query = `directory=${encodeURIComponent(opencode.directory)}`;
  for (const [name, server] of Object.entries({ directly: opencode.url, "through respool": base })) {
    const body = JSON.stringify({ command: "/bin/cat", args: [], cwd: opencode.directory });
    const headers = { "content-type": "application/json" };
    const created = await fetch(`${server}/pty?${query}`, { method: "POST", headers, body });
    same(`a terminal, ${name}: it is there`, created.status, 200);
    const { id } = await created.json();
    const socket = new WebSocket(`${server.replace("http", "ws")}/pty/${id}/connect?${query}`);
    let heard = "";
    socket.on("message", (data) => (heard += data));
    socket.on("error", (error) => fail(`a terminal, ${name}: ${error}`));
    socket.on("open", () => socket.send("grün €4 😀\n"));
    await eventually(() => heard.includes("grün €4 😀"), `echo of a terminal, ${name}`);
    check(`a terminal, ${name}: it echoes`, "");
    socket.close();
    const removed = await fetch(`${server}/pty/${id}?${query}`, { method: "DELETE" });
    same(`a terminal, ${name}: it is gone`, removed.status, 200);
  }
}
