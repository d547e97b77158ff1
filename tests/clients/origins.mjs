// Browsers' clients on a page of another origin, whose server has an allow-list as people write them: it has not heard of
// `Last-Event-ID`. What works without respool has to work through it.

import { installed, servePage, start } from "./kinds.mjs";
import { Origin, Relay, Respool, check, eventually, main, same, sleep, whole } from "./world.mjs";

const CUTS = 4;
const FETCH = "@microsoft/fetch-event-source";
const KINDS = ["EventSource", FETCH, "event-source-polyfill"];
// What an id ends: with it, the server has to be asked beforehand, and says no. Neither can be told from an EventSource,
// or is told that it gets ids all the same.
const ENDED = [`${FETCH}, no-store`, FETCH];
// The same, where respool allows them to bring an id.
const CURED = ENDED;
const ROUTES = `[[route]]
path = "/feed/ended-1"
stamp = "always"

[[route]]
path = "/feed/cured-*"
stamp = "always"
cors_allow_cursor = true

[[route]]
path = "/feed/*"
`;

const path = (client) => `/feed/${client.who}`;
const whoever = (clients, holds) => clients.filter((client) => !holds(client)).map(({ who }) => who);

/** A page with the clients of these groups, by name; `part` gets each as a list. A browser has six streams at a time. */
async function world(browser, through, groups, part) {
  const origin = await Origin.start({}, { beats: false, more: servePage });
  const respool = await Respool.start(origin.url, ROUTES);
  const relay = await Relay.start(through ? respool.port : origin.port);
  // The page comes from the server itself, what it listens to by the relay: another port is another origin.
  origin.allowed = origin.url;
  const wanted = Object.entries(groups).flatMap(([group, kinds]) =>
    kinds.map((kind, n) => {
      const who = `${group}-${n}`;
      return { kind: { name: kind, kind, browser }, who, url: `http://127.0.0.1:${relay.port}/feed/${who}` };
    }),
  );
  const clients = await start(`${origin.url}/page`, wanted);
  check(`${browser}: all are there`, await attached(relay, clients, 20));
  const of = (group) => clients.filter(({ who }) => who.startsWith(group));
  await part(origin, relay, ...Object.keys(groups).map(of));
  clients.forEach((client) => client.stop());
  relay.stop();
  same("respool ends with 0 when told to", await respool.stop(), 0);
  origin.stop();
}

/** Waits until all of them have a stream, and says who has not. */
async function attached(relay, clients, seconds) {
  let missing;
  for (let tries = 0; tries < seconds * 20; tries++) {
    missing = whoever(clients, (client) => relay.streams(path(client)).length === 1);
    if (missing.length === 0) return "";
    await sleep(50);
  }
  return `${missing} not within ${seconds} s`;
}

/** Cuts them all, again and again, and says what each missed in the end. */
async function cut(origin, relay, clients) {
  origin.talk(20);
  await eventually(() => clients.every((client) => client.last > 0), "first events", 20);
  await Promise.all(clients.map((client) => relay.cutEach(path(client), CUTS, 300)));
  check("all came back", await attached(relay, clients, 10));
  origin.quiet();
  origin.say();
  await eventually(() => clients.every((client) => client.last === origin.n), "last event", 20);
  return clients.map((client) => whole(client.events, client.events[0].n, origin.n));
}

const answered = (relay, client) => relay.resumes.get(path(client)).map((answer) => answer?.split(";")[0]);
const resumed = ["fresh", ...Array(CUTS).fill("resumed")];

const without = (browser) => () =>
  world(browser, false, { whole: KINDS, ended: ENDED }, async (origin, relay, whole, ended) => {
    const missed = await cut(origin, relay, [...whole, ...ended]);
    for (const [n, kind] of [...KINDS, ...ENDED].entries()) {
      check(`${browser}, ${kind}, without respool: it loses events`, missed[n] ? "" : "it does not");
    }
    same(`${browser}, without respool: nobody had to ask beforehand`, origin.preflights, 0);
  });

const through = (browser) => () =>
  world(browser, true, { whole: KINDS, ended: ENDED }, async (origin, relay, clients, ended) => {
    const missed = await cut(origin, relay, clients);
    same(`${browser}: nobody had to ask beforehand`, origin.preflights, 0);
    const answers = clients.map((client) => answered(relay, client));
    const of = (n) => `${browser}, ${KINDS[n]}, of another origin`;
    check(`${of(0)}: each once, in order`, missed[0]);
    same(`${of(0)}: each answer was a resume`, answers[0], resumed);
    same(`${of(1)}: as without respool, it gets no ids`, [...new Set(clients[1].ids)], [""]);
    same(`${of(1)}: nor anything else of ours`, [...new Set(answers[1])], [undefined]);
    check(`${of(2)}: each once, in order`, missed[2]);
    same(`${of(2)}: each answer was a resume`, answers[2], resumed);
    same(`${browser}: nobody gave up`, whoever(clients, (client) => !client.over), []);
    // With an id, the next request has to ask.
    for (const client of ended) relay.cut(relay.streams(path(client))[0], 1);
    await eventually(() => origin.preflights >= ended.length, "question beforehand");
    await sleep(1000);
    for (const [n, client] of ended.entries()) {
      const back = relay.streams(path(client)).length;
      same(`${browser}, ${ENDED[n]}: an id would end it`, [client.ids.at(-1)?.[0], back], ["r", 0]);
    }
  });

const allowed = (browser) => () =>
  world(browser, true, { cured: CURED }, async (origin, relay, clients) => {
    const missed = await cut(origin, relay, clients);
    check(`${browser}: they had to ask beforehand`, origin.preflights > 0 ? "" : "they did not");
    for (const [n, client] of clients.entries()) {
      const what = `${browser}, ${CURED[n]}, where it may bring an id`;
      check(`${what}: each once, in order`, missed[n]);
      same(`${what}: each answer was a resume`, answered(relay, client), resumed);
    }
  });

const browsers = ["Chromium", "Firefox"].filter((name) => installed.some(({ browser }) => browser === name));
const parts = browsers.flatMap((browser) => [without(browser), through(browser), allowed(browser)]);
await main(110, ...parts);
