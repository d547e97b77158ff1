// Ids that a page does not see: two `EventSource`s on a page, one connected directly and never cut, one through respool
// with `ids = "hidden"` and cut again and again. They see the same events with the same `lastEventId`s.

import { once } from "node:events";

import express from "express";

import { installed, servePage, start } from "./kinds.mjs";
import { Relay, Respool, check, eventually, main, same } from "./world.mjs";

const CUTS = 8;
const EACH = 5;
const ROUTES = ["private", "shared"].map(
  (mode) => `[[route]]\npath = "/${mode}"\nmode = "${mode}"\nkey = ["path"]\nids = "hidden"\n\n`,
);

/** A server that now and then gives an event an id of its own: a name, the same one twice, none again, one in vain. */
class Origin {
  n = 0;
  ids = [];
  #feeds = new Set();

  static async start() {
    const origin = new Origin();
    const app = express();
    servePage(app);
    app.get(["/direct", "/private", "/shared"], (request, response) => {
      if (request.get("last-event-id")) origin.ids.push(request.get("last-event-id"));
      response.set({ "Content-Type": "text/event-stream", "Access-Control-Allow-Origin": "*" });
      response.write("retry: 200\n\n");
      origin.#feeds.add(response);
      response.on("close", () => origin.#feeds.delete(response));
    });
    origin.server = app.listen(0, "127.0.0.1");
    await once(origin.server, "listening");
    origin.port = origin.server.address().port;
    origin.url = `http://127.0.0.1:${origin.port}`;
    return origin;
  }

  get listeners() {
    return this.#feeds.size;
  }

  say() {
    const n = ++this.n;
    const id = { 0: `id: own ${n}\n`, 3: "id: grün, 😀\n", 4: "id: grün, 😀\n", 7: "id\n", }[n % 11];
    // The standard takes no notice of it; Firefox takes none of what follows it either.
    const vain = n % 11 === 8 ? "id: no\0ne\n" : "";
    const comment = n % 4 ? "" : ": in between\n\n";
    for (const feed of this.#feeds) feed.write(`${comment}${id ?? ""}data: {"n":${n}}\n${vain}\n`);
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

const pages = (browser) => async () => {
  const origin = await Origin.start();
  const respool = await Respool.start(origin.url, ROUTES.join(""));
  const relay = await Relay.start(respool.port);
  const kind = { name: "EventSource", kind: "EventSource", browser };
  const wanted = [`${origin.url}/direct`, ...["private", "shared"].map((mode) => `http://127.0.0.1:${relay.port}/${mode}`)];
  const clients = await start(
    `${origin.url}/page`,
    wanted.map((url) => ({ kind, who: url, url })),
  );
  await eventually(() => origin.listeners === wanted.length, "three connections", 20);
  const caughtUp = () => eventually(() => clients.every((client) => client.last === origin.n), "last event", 20);
  const some = () => Array.from({ length: EACH }, () => origin.say());
  for (let cuts = 0; cuts < CUTS; cuts++) {
    some();
    await caughtUp();
    relay.down();
    some();
    await relay.up(respool.port);
    await caughtUp();
  }
  const [direct, ...through] = clients;
  const seen = (client) => client.events.map(({ n }, at) => `${n} ${client.ids[at]}`);
  check(`${browser}: the server's ids are seen, directly`, new Set(direct.ids).size > 5 ? "" : `${direct.ids}`);
  for (const client of through) {
    const of = `${browser}, ${client.who.split("/").at(-1)}, ${CUTS} cuts, ${origin.n} events`;
    same(`${of}: the same events with the same ids`, seen(client), seen(direct));
    const answers = relay.resumes.get(new URL(client.who).pathname).map((said) => said.split(";")[0]);
    same(`${of}: each answer was a resume`, answers, ["fresh", ...Array(CUTS).fill("resumed")]);
    same(`${of}: nothing else was dispatched to listeners`, client.strange, []);
  }
  same(`${browser}: no id of ours reached the server`, origin.ids.filter((id) => /^r[0-9a-v]{13}/.test(id)), []);
  clients.forEach((client) => client.stop());
  relay.stop();
  same("respool ends with 0 when told to", await respool.stop(), 0);
  origin.stop();
};

const browsers = ["Chromium", "Firefox"].filter((name) => installed.some(({ browser }) => browser === name));
await main(90, ...browsers.map(pages));
