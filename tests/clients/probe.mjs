// What each client does by itself, without respool. The tables in deploy/clients.md have to say the same.

import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";

import express from "express";

import { installed, servePage, start } from "./kinds.mjs";
import { check, eventually, main, sleep } from "./world.mjs";

// When nobody has asked for so long, all have come back who will.
const QUIET = 6000;

const data = (n) => `data: {"n":${n}}\n\n`;
const first = `retry: 200\nid: 1\n${data(1)}`;
const EMPTY = { comment: ": a comment\n\n", retry: "retry: 200\n\n", event: "event: x\n\n" };
/** Frames without data, each with an event behind it. */
const empties = Object.values(EMPTY).flatMap((frame, n) => [frame, data(n + 2)]);

// What a client's connections get, one after the other: pieces, and how it ends. The last is for all that follow.
const stay = { say: [] };
const SCRIPTS = {
  cut: [{ say: [first], then: "cut" }, { say: [data(2)], then: "cut" }, stay],
  end: [{ say: [first], then: "end" }, stay],
  refusal: [{ say: [first], then: "cut" }, { then: "503" }, stay],
  silence: [{ say: [first], then: "cut" }, { then: "nothing" }, stay],
  lone: [{ say: [first, "id: 2\n\n"], then: "cut" }, stay],
  torn: [{ say: [first, "data: torn\n"], then: "cut" }, { say: [data(2)] }, stay],
  tornId: [{ say: [first, 'data: {"n":2}\nid: 2\n'], then: "cut" }, stay],
  empty: [{ say: [data(1), ...empties] }, stay],
  emptyWithId: [{ say: [first, ...empties] }, stay],
};

/** A server that follows a script, for each client from its start. */
class Server {
  /** When anybody last asked any of them. */
  static last = 0;

  static async start(script) {
    const server = new Server();
    server.asked = new Map();
    const app = express();
    servePage(app);
    app.use((_, response, next) => {
      response.set({ "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*" });
      next();
    });
    app.get("/:who", (request, response) => {
      const { who } = request.params;
      const asked = [...(server.asked.get(who) ?? []), request];
      server.asked.set(who, asked);
      Server.last = Date.now();
      server.#answer(script[Math.min(asked.length, script.length) - 1], response);
    });
    server.http = app.listen(0, "127.0.0.1");
    await once(server.http, "listening");
    server.url = `http://127.0.0.1:${server.http.address().port}`;
    return server;
  }

  async #answer({ say = [], then }, response) {
    if (then === "nothing") return response.destroy();
    if (then === "503") return response.status(503).end();
    response.set("Content-Type", "text/event-stream").flushHeaders();
    for (const piece of say) {
      response.write(piece);
      await sleep(30);
    }
    await sleep(100);
    if (then === "cut") response.destroy();
    if (then === "end") response.end();
  }
}

const PLACES = {
  header: (request) => request.get("last-event-id"),
  "`lastEventId` in the query": (request) => request.query.lastEventId,
};
/** Where a request brings an id, and which. */
const place = (request) => Object.keys(PLACES).find((place) => PLACES[place](request));
const id = (request) => request && Object.values(PLACES).flatMap((value) => value(request) ?? [])[0];

/** Which frames without data it took for events: what it dispatched before the event that came behind one. */
function empty({ all }) {
  const taken = Object.keys(EMPTY).filter((_, n) => all[all.indexOf(`{"n":${n + 2}}`) - 1] === "");
  return taken.join(", ") || "none";
}

/** What one client did, a line for each table; `of` says of a script's name what was asked and dispatched. */
function lines(kind, of) {
  const asked = (script) => of(script).asked;
  const back = (script, times) => (asked(script).length >= times ? "comes back" : "stops");
  const [request, second, third] = asked("cut");
  const like = request.get("accept") === "text/event-stream" && request.get("cache-control") === "no-cache";
  const coming = [
    like ? "yes" : "no",
    back("cut", 2),
    back("end", 2),
    back("silence", 3),
    back("refusal", 3),
    second ? (place(second) ?? "nowhere") : "",
  ];
  const reading = [
    id(third) === "1" ? "kept" : "lost",
    id(asked("lone")[1]) === "2" ? "yes" : "no",
    empty(of("empty").client),
    empty(of("emptyWithId").client),
    of("torn").client.all.at(-1) === '{"n":2}' ? "dropped" : "in the next one",
    id(asked("tornId")[1]) === "2" ? "yes" : "no",
  ];
  return [coming, reading].map((cells) => `| ${[kind.name, ...cells].join(" | ")} |`);
}

async function probe() {
  const servers = new Map();
  for (const [name, script] of Object.entries(SCRIPTS)) servers.set(name, await Server.start(script));
  const names = [...servers.keys()];
  const wanted = installed.flatMap((kind, n) =>
    names.map((name) => ({ kind, who: `${n}-${name}`, url: `${servers.get(name).url}/${n}-${name}` })),
  );
  const clients = new Map((await start(`${servers.get("cut").url}/page`, wanted)).map((it) => [it.who, it]));
  const came = ({ who }) => [...servers.values()].some(({ asked }) => asked.has(who));
  // Who never comes is named below.
  for (let tries = 0; tries < 300 && !wanted.every(came); tries++) await sleep(100);
  await eventually(() => Date.now() > Server.last + QUIET, "quiet", 60);
  const doc = new URL("clients.md", import.meta.url);
  const said = existsSync(doc) ? readFileSync(doc, "utf8").split("\n") : [];
  for (const [n, kind] of installed.entries()) {
    const of = (name) => ({
      client: clients.get(`${n}-${name}`),
      asked: servers.get(name).asked.get(`${n}-${name}`) ?? [],
    });
    const missing = names.find((name) => of(name).asked.length === 0);
    const unsaid = missing ? [] : lines(kind, of).filter((line) => !said.includes(line));
    const wrong = missing ? `it never came to ${missing}` : unsaid.map((line) => `\n${line}`).join("");
    check(`${kind.name}: deploy/clients.md says what it does`, wrong);
  }
  clients.forEach((client) => client.stop());
}

await main(120, probe);
