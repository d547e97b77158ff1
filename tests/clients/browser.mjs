// A real browser's `EventSource`, on a page that comes through respool too, against an express server.

import { launch } from "./chromium.mjs";
import { Origin, Relay, Respool, check, eventually, main, numbered, same, sleep, whole } from "./world.mjs";

const CUTS = 20;
const CLIENTS = 3;
// What the relay has written is with the page after so many milliseconds; a reset would drop it on its way.
const ARRIVE = 200;

const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>feed</title>
<script>
  const clients = []
  function listen(path) {
    const client = { events: [], ids: [], closed: false, source: new EventSource(path) }
    client.source.onmessage = (event) => {
      client.events.push(JSON.parse(event.data))
      client.ids.push(event.lastEventId)
    }
    client.source.onerror = () => { client.closed ||= client.source.readyState === EventSource.CLOSED }
    clients.push(client)
  }
  const seen = () => clients.map(({ source, ...client }) => client)
  const last = () => clients.map((client) => client.events.at(-1)?.n ?? 0)
</script>`;

let browser;

async function start() {
  browser = await launch();
}

async function world(part) {
  const origin = await Origin.start({ "/": PAGE });
  const respool = await Respool.start(origin.url);
  const relay = await Relay.start(respool.port);
  const page = await browser.newPage();
  page.on("pageerror", (error) => check("the page runs", error.message));
  await page.goto(`http://127.0.0.1:${relay.port}/`);
  await part(origin, respool, relay, page);
  await page.close();
  relay.stop();
  same("respool ends with 0 when told to", await respool.stop(), 0);
  origin.stop();
}

const caughtUp = async (page, origin) => (await page.evaluate("last()")).every((n) => n === origin.n);

const alone = () =>
  world(async (origin, respool, relay, page) => {
    await page.evaluate('listen("/feed")');
    // Nothing has happened yet. The client has an id all the same, so that even a connection lost now can be resumed.
    await eventually(() => relay.numbered("/feed").length === 1, "prime");
    await sleep(ARRIVE);
    relay.cut(relay.streams("/feed")[0]);
    await eventually(() => relay.cuts === 1, "cut");
    for (let n = 0; n < 10; n++) origin.say();
    await eventually(async () => caughtUp(page, origin), "event after the first cut");
    origin.talk();
    await relay.cutAtRandom("/feed", CUTS - 1, 300);
    await eventually(() => relay.streams("/feed").length === 1, "reconnect");
    origin.quiet();
    await eventually(async () => caughtUp(page, origin), "last event");
    const [client] = await page.evaluate("seen()");
    const of = `browser, private, ${relay.cuts} cuts, ${client.events.length} events`;
    check(`${of}: each once, in order, from the first one`, whole(client.events, 1, origin.n));
    check(`${of}: lastEventId is ours`, numbered(client.ids));
    same(`${of}: the client never gave up`, client.closed, false);
    same(`${of}: one upstream connection`, origin.asked.get("/feed"), 1);
    same(`${of}: no id of ours reached the server`, origin.ids, 0);
    same(`${of}: each answer was a resume`, await respool.answers("/feed"), { fresh: 1, resumed: CUTS });
    const [first, ...later] = relay.resumes.get("/feed");
    const said = [first, later.filter((value) => !/^resumed; missed=\d+$/.test(value))];
    same(`${of}: and said so`, said, ["fresh", []]);
  });

const together = (path, admission) => () =>
  world(async (origin, respool, relay, page) => {
    for (let n = 0; n < CLIENTS; n++) await page.evaluate(`listen("${path}")`);
    await eventually(() => relay.numbered(path).length === CLIENTS, "primes");
    await sleep(ARRIVE);
    origin.talk();
    await relay.cutAtRandom(path, CUTS * CLIENTS, 100);
    origin.quiet();
    await eventually(async () => caughtUp(page, origin), "last events");
    const clients = await page.evaluate("seen()");
    const of = `browser, shared, ${admission}, ${CLIENTS} clients, ${relay.cuts} cuts, ${origin.n} events`;
    const wrong = clients.map((client) => whole(client.events, 1, origin.n));
    check(`${of}: each once, in order, from the first one`, wrong.find(Boolean));
    check(`${of}: lastEventId is ours`, clients.map((client) => numbered(client.ids)).find(Boolean));
    const ids = clients.map((client) => JSON.stringify(client.ids));
    same(`${of}: all see the same ids`, new Set(ids).size, 1);
    await eventually(() => origin.open.get(path) === 1, "quiet upstream");
    same(`${of}: one upstream connection`, origin.open.get(path), 1);
    if (path === "/shared") same(`${of}: and never another`, origin.asked.get(path), 1);
    same(`${of}: no id of ours reached the server`, origin.ids, 0);
    const answers = await respool.answers(path);
    same(
      `${of}: each answer was a resume, but the first ones`,
      { ...answers, resumed: 0 },
      {
        fresh: CLIENTS,
        resumed: 0,
      },
    );
  });

await main(
  80,
  start,
  alone,
  together("/shared", "admitted without asking"),
  together("/admitted", "admitted upstream"),
  () => browser.close(),
);
