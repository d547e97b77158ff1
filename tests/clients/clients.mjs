// Every client that can be had, through respool, against an event server that never heard of ids: cuts, silence, a
// restart of respool, an outage of the server, and the server itself in the place of respool. Each client has a stream of its
// own.

import { readFileSync } from "node:fs";

import { installed, kinds, servePage, start } from "./kinds.mjs";
import { Origin, Relay, Respool, check, eventually, fail, main, numbered, same, sleep, todo, whole } from "./world.mjs";

const CUTS = 8;
const BEATS = 3;
const ROUTES = '[[route]]\npath = "/feed/*"\nheartbeat = "1s"\n';
// What deploy/clients.md says of them. It keeps what it got of a torn event for the next one, and cannot read lines that
// end now so, now so,
const MERGES = /^npm eventsource 2$/;
// takes a frame without data for an event.
const EMPTY = /fetch-event-source$/;

let origin, respool, relay, clients;

const path = (client) => `/feed/${client.who}`;
const of = (client) => client.kind.name;

/** Its own path, with whatever query. */
const own = (client) => (asked) => asked.split("?")[0] === path(client);
const mixes = (asked) => !clients.some((client) => own(client)(asked) && MERGES.test(of(client)));

async function open() {
  for (const kind of kinds) if (!installed.includes(kind)) console.log(`missing: ${kind.name}`);
  if (process.env.CI === "true" && installed.length < kinds.length) fail("clients are missing");
  origin = await Origin.start({}, { beats: false, mixes, more: servePage });
  respool = await Respool.start(origin.url, ROUTES);
  relay = await Relay.start(respool.port);
  const base = `http://127.0.0.1:${relay.port}`;
  const wanted = installed.map((kind, n) => ({ kind, who: `c${n}`, url: `${base}/feed/c${n}` }));
  clients = await start(`${base}/page`, wanted);
  clients.forEach((client, n) => (client.kind = installed[n]));
  await eventually(() => clients.every((client) => origin.asked.has(path(client))), "clients", 20);
}

async function cuts() {
  origin.talk(20);
  const first = (client) => eventually(() => client.last > 0, `first event of ${of(client)}`);
  await Promise.all(clients.map(first));
  await Promise.all(
    clients.map((client) => relay.cutEach(path(client), CUTS, 300, MERGES.test(of(client)) ? 0.6 : undefined)),
  );
  await allHeard("the last cut");
  for (const client of clients) {
    const name = `${of(client)}, ${CUTS} cuts, ${client.events.length} events`;
    check(`${name}: each once, in order`, whole(client.events, client.events[0].n, origin.n));
    check(`${name}: ids are ours`, numbered(client.ids));
    const asked = [...origin.asked.keys()].filter(own(client)).length;
    check(`${name}: one upstream connection`, asked === 1 ? "" : `${asked}`);
    check(`${name}: each answer was a resume`, resumes(client));
    same(`${name}: it never gave up`, client.over, false);
  }
  same("no id of ours reached the server", origin.ids, 0);
}

/** Nothing happens any more; everybody has heard of the last event. */
async function allHeard(what) {
  for (const client of clients) {
    await eventually(() => relay.streams(path(client)).length === 1, `return of ${of(client)} after ${what}`);
  }
  origin.quiet();
  origin.say();
  for (const client of clients) {
    await eventually(() => client.last === origin.n, `event for ${of(client)} after ${what}`, 20);
  }
}

function resumes(client) {
  const [first, ...later] = relay.resumes.get(path(client));
  const wrong = later.find((value) => !/^resumed; missed=\d+$/.test(value));
  if (first !== "fresh" || wrong) return `${first}, then ${wrong}`;
  return later.length === CUTS ? "" : `${later.length} came back`;
}

/** Heartbeats are events to nobody: respool's own not, and the server's only to whom they are without respool. */
async function silence() {
  await sleep(1500);
  for (let n = 0; n < BEATS; n++) origin.beat();
  await sleep(1500);
  for (const client of clients) {
    const { length } = client.strange;
    const due = EMPTY.test(of(client)) ? BEATS : 0;
    check(`${of(client)}: no event that the server did not send`, length === due ? "" : `${length} of ${due}`);
  }
}

/** From now on each client sees only what is newer, without repeats, and it does see it. */
async function comesBack(what, seconds) {
  relay.resumes.clear();
  const before = clients.map((client) => client.events.length);
  origin.talk(20);
  const from = origin.n;
  for (const client of clients) {
    const name = `${of(client)}: it comes back after ${what}`;
    for (let tries = 0; tries < seconds * 20 && client.last <= from; tries++) await sleep(50);
    check(name, client.last > from ? "" : `not within ${seconds} s`);
  }
  origin.quiet();
  clients.forEach((client, n) => {
    const seen = client.events.slice(Math.max(0, before[n] - 1)).map((event) => event.n);
    const wrong = seen.findIndex((n, at) => at > 0 && n <= seen[at - 1]);
    check(`${of(client)}: nothing twice after ${what}`, wrong < 0 ? "" : `${seen[wrong]} after ${seen[wrong - 1]}`);
    same(`${of(client)}: it did not give up`, client.over, false);
    const answer = relay.resumes.get(path(client))?.[0];
    check(`${of(client)}: it is told of a gap`, answer === "gap; reason=generation" ? "" : answer);
  });
}

async function drain() {
  origin.talk(20);
  const code = await respool.stop();
  origin.quiet();
  same("respool ends with 0 when told to", code, 0);
  relay.down();
  await sleep(500);
  respool = await Respool.start(origin.url, ROUTES);
  await relay.up(respool.port);
  await comesBack("a restart of respool", 15);
}

async function outage() {
  await allHeard("the restart");
  await origin.down();
  await sleep(5000);
  await origin.up();
  await comesBack("an outage of five seconds", 30);
}

/** What deploy/clients.md says of a client that goes to the server itself. */
function said(client) {
  const doc = readFileSync(new URL("clients.md", import.meta.url), "utf8");
  const chapter = doc.split("## Without respool again")[1] ?? "";
  const row = chapter.split("\n").find((line) => line.startsWith(`| ${of(client)} |`));
  return row?.slice(2, -2).split(" | ").slice(1);
}

/** The server itself is where respool was: what becomes of the ids that we gave. */
async function removal() {
  await allHeard("the outage");
  same("respool ends with 0 when told to", await respool.stop(), 0);
  relay.down();
  origin.brought.clear();
  await relay.up(origin.port);
  const heard = async (...more) => {
    for (const client of clients) {
      await eventually(() => relay.streams(path(client)).length === 1, `return of ${of(client)}`, 30);
    }
    origin.say(...more);
    for (const client of clients) {
      await eventually(() => client.last === origin.n, `event for ${of(client)} from the bare server`);
    }
  };
  const cut = () => Promise.all(clients.map((client) => relay.cutEach(path(client), 1, 0, 0.9)));
  await heard();
  await cut();
  await heard();
  await cut();
  await heard("id:");
  await cut();
  await heard();
  for (const client of clients) {
    const name = `${of(client)}, without respool again`;
    const [first, ...later] = origin.brought.get(path(client));
    check(`${name}: it brings its last id`, numbered([first]));
    const becomes = later.slice(1).map((id) => ({ [first]: "brought", "": "gone" })[id] ?? id);
    same(`${name}: deploy/clients.md says what becomes of it`, becomes, said(client));
    same(`${name}: it did not give up`, client.over, false);
  }
}

async function close() {
  clients.forEach((client) => client.stop());
  relay.stop();
  origin.stop();
}

await main(130, open, cuts, silence, drain, outage, removal, close);
