// The status page in an incident: what is drawn is to scale, and each thing that goes wrong is told, until it is over.
//
// SCREENSHOTS  a directory for screenshots (default: none are taken)

import { launch } from "./chromium.mjs";
import { openTab, screenshots, soon } from "./statuspage.mjs";
import { Origin, Respool, check, listen, main, same } from "./world.mjs";

const routes = (more = "", top = "") => `
limits = { event = "64KiB" }
${top}
[[route]]
path = "/shared"
mode = "shared"
key = ["path"]
admit = "none"
window = { events = 40, age = "60s" }

[[route]]
path = "/feed"
window = { events = 200, bytes = "64KiB", age = "10m" }
${more}`;

/** A value that would be a script, if anybody took it for one. */
const WRONG = `
[[route]]
path = "/wrong"
mode = "<script>alert(1)</script>"
`;

let browser, origin, respool, page, url;
const faults = [];
const clients = [];

const text = (selector) => page.locator(selector).innerText();
const status = async () => (await fetch(`${url}status`)).json();
const listed = (all, path) => all.streams.find((one) => one.route === path);
const tile = (name) => page.locator("#tiles > div").filter({ has: page.locator("dt", { hasText: name }) });
const alerted = (words, what) => soon(async () => words.test(await text("#alerts")), what);
const over = (words, what) => soon(async () => !words.test(await text("#alerts")), what);

async function start() {
  browser = await launch();
  origin = await Origin.start();
  // So long that chance cuts neither client before the test does.
  respool = await Respool.start(origin.url, routes(), "127.0.0.1:0", "900s");
  url = `http://127.0.0.1:${respool.admin}/`;
  page = await openTab(browser, url, faults);
  await page.goto(url);
  await soon(async () => (await text("#link")) === "Live.", "status on the page");
  const before = await text("#tiles");
  check("at first nobody was asked anything", /not asked yet/.test(before) ? "" : before);
  // Later than the other: its window begins where it came, and is emptier.
  clients.push(listen(`http://127.0.0.1:${respool.port}/shared`));
  await soon(() => origin.open.get("/shared") === 1, "upstream connection");
  for (let n = 0; n < 10; n++) origin.say();
  clients.push(listen(`http://127.0.0.1:${respool.port}/feed`));
  await soon(() => origin.open.get("/feed") === 1, "another one");
}

/** What is drawn of each stream, as parts of its track, beside what the page was told, of the same moment. */
const drawn = () =>
  page.evaluate(() => {
    const box = (element) => element.getBoundingClientRect();
    const rows = [...document.querySelectorAll("#streams tbody tr")];
    return rows.map((tr) => {
      const svg = tr.querySelector("svg.window");
      const track = box(svg.querySelector(".track"));
      const part = (x) => (x - track.left) / track.width;
      const bar = (kind) => ({ from: part(box(svg.querySelector(kind)).left), to: part(box(svg.querySelector(kind)).right) });
      const edges = [...svg.querySelectorAll(".edge")].map((edge) => ({ from: part(box(edge).left), to: part(box(edge).right) }));
      const words = tr.innerText;
      const stream = window.sent.streams.find((one) => words.includes(one.key));
      return { bars: [".fill", ".bytes", ".age"].map(bar), edges, words, stream };
    });
  });

/** What of it is not to scale. */
function wrong({ bars, edges, words, stream: { window } }) {
  const share = (value, of) => Math.min(1, value / of);
  const all = [];
  const near = (what, is, should) => Math.abs(is - should) > 0.006 && all.push(`${what} at ${is}, not ${should}`);
  const parts = {
    fill: share(window.events, window.events_limit),
    bytes: share(window.bytes, window.bytes_limit),
    age: share(window.oldest_seconds ?? 0, window.age_limit_seconds),
  };
  Object.entries(parts).forEach(([what, part], at) => {
    near(`${what} begins`, bars[at].from, 1 - part);
    near(`${what} ends`, bars[at].to, 1);
  });
  near("the fence is drawn", edges[0].to, 1);
  near("the low edge is drawn", edges[1]?.from ?? 1, 1 - parts.fill);
  const said = `low edge ${window.low.toLocaleString("en")} · fence ${window.tail.toLocaleString("en")}`;
  if (!words.includes(said)) all.push(`${words} does not say ${said}`);
  return all.join("; ");
}

/** Two streams that hold so much are drawn as they are. */
async function scale(when, shared, feed) {
  const tails = async () => (await status()).streams.map((one) => one.window?.events);
  const shown = () => page.evaluate(() => window.sent.streams.map((one) => one.window?.events));
  const due = [shared, feed];
  await soon(async () => {
    const both = [await status(), await page.evaluate(() => window.sent)];
    return both.every((all) => due.every((n, at) => listed(all, ["/shared", "/feed"][at])?.window?.events === n));
  }, `windows ${when}: ${due}, not ${await tails()} and ${await shown()}`);
  const rows = await drawn();
  same(`${when}: a row each`, rows.map((row) => row.stream.route).sort(), ["/feed", "/shared"]);
  for (const row of rows) check(`${when}: ${row.stream.route} is drawn to scale`, wrong(row));
  const json = await status();
  const places = (all) => ["/shared", "/feed"].map((path) => [listed(all, path).window.low, listed(all, path).window.tail]);
  same(`${when}: by the numbers of /status`, places(await page.evaluate(() => window.sent)), places(json));
  return rows.map((row) => row.bars[0].from).join();
}

async function windows() {
  const before = await scale("before more events", 10, 0);
  for (let n = 0; n < 20; n++) origin.say();
  const after = await scale("after some", 30, 20);
  check("and is drawn otherwise then", before === after ? after : "");
  for (let n = 0; n < 30; n++) origin.say();
  await scale("at its bound", 40, 50);
  const low = listed(await status(), "/shared").window.low;
  same("the low edge has moved with it", low, 21);
  await screenshots(page, "windows");
}

/** Comes back with this id, and says how it was answered. */
async function back(id, path = "/shared") {
  const headers = { accept: "text/event-stream", "last-event-id": id };
  const answer = await fetch(`http://127.0.0.1:${respool.port}${path}`, { headers });
  await answer.body.cancel();
  return answer.headers.get("respool-resume");
}

/** Resumes and gaps stand above and below the line as tall as they are many, each reason by itself. */
async function answers() {
  const [id] = clients[0].ids.slice(-1);
  const run = id.split("-")[0];
  const due = { resumed: 6, "gap-expired": 3, "gap-generation": 2, "gap-ahead": 1 };
  const ids = { resumed: id, "gap-expired": `${run}-2`, "gap-generation": `r${"0".repeat(13)}-7`, "gap-ahead": `${run}-9999` };
  for (const [kind, count] of Object.entries(due)) {
    for (let n = 0; n < count; n++) {
      const said = await back(ids[kind]);
      check(`an answer is ${kind}`, said.replace("; reason=", "-").replace("gap ", "gap").startsWith(kind) ? "" : said);
    }
  }
  await soon(async () => /6 resumed and 6 gaps/.test(await text("#chart-words")), "all of them in words");
  const bars = await page.evaluate(() => {
    const all = [...document.querySelectorAll("#chart rect:not(.ground)")].map((rect) => {
      const { top, bottom, height } = rect.getBoundingClientRect();
      return [rect.getAttribute("class"), { top, bottom, height }];
    });
    const ground = document.querySelector("#chart .ground").getBoundingClientRect().top;
    const history = window.sent.history.counts.answers;
    const sum = (name) => history[name.replace("-", "_")].reduce((all, n) => all + n, 0);
    return { all, ground, sums: Object.fromEntries([...new Set(all.map(([kind]) => kind))].map((kind) => [kind, sum(kind)])) };
  });
  same("what is drawn was counted", bars.sums, due);
  const tall = (kind) => bars.all.filter(([of]) => of === kind).reduce((sum, [, box]) => sum + box.height, 0);
  const unit = tall("resumed") / due.resumed;
  const off = Object.entries(due).filter(([kind, count]) => Math.abs(tall(kind) / unit - count) > 0.06);
  same("each as tall as it is often", off, []);
  const sides = bars.all.filter(([kind, box]) => (kind === "resumed") !== box.bottom <= bars.ground + 1);
  same("resumes above the line, gaps below it", sides, []);
}

/** Goes away, is told to be away, comes back, and is told to be back. */
async function upstream() {
  check("the upstream answers", /answering/.test(await tile("Upstream").innerText()) ? "" : await text("#tiles"));
  await origin.down();
  await alerted(/The upstream is away: the upstream cannot be reached\. 1 stream without it/, "outage");
  await soon(async () => /away/.test(await tile("Upstream").innerText()), "an upstream that is away");
  const row = await page.locator("#streams tbody tr").filter({ hasText: "/shared" }).innerText();
  check("the stream says so, and why", /no upstream[^]*the upstream cannot be reached/.test(row) ? "" : row);
  await origin.up();
  await over(/The upstream is away/, "end of the outage");
  await soon(async () => /answering/.test(await tile("Upstream").innerText()), "an upstream that is back");
  await soon(async () => /live/.test(await page.locator("#streams tbody tr").filter({ hasText: "/shared" }).innerText()), "a live stream");
}

/** Refused with the fault's text, loaded, and what waits for a restart. */
async function reload() {
  respool.reload(routes(WRONG));
  await alerted(/refused; the former one is in force/, "refused configuration");
  const words = await text("#alerts");
  const told = ["<script>alert(1)</script>", "shared", "respool.toml:"].filter((part) => !words.includes(part));
  same("the fault is told, with its place and its remedy, as text", told, []);
  same("and is no element", await page.locator("main script").count(), 0);
  check("the tile says it", /refused, the former in force/.test(await tile("Configuration").innerText()) ? "" : "it does not");
  await screenshots(page, "refused");
  const wide = [];
  await page.setViewportSize({ width: 360, height: 740 });
  wide.push(await page.evaluate(() => document.documentElement.scrollWidth));
  await page.setViewportSize({ width: 1200, height: 900 });
  same("on a phone it does not scroll sideways", wide, [360]);
  respool.reload(routes('[[route]]\npath = "/more"\n', 'admin_hosts = ["another"]'));
  await over(/refused/, "end of the refusal");
  await alerted(/waiting for a restart: admin_hosts/, "what waits");
  const tiled = await tile("Configuration").innerText();
  check("it is in force, and the second", /in force[^]*2 loads/.test(tiled) ? "" : tiled);
  respool.reload(routes());
  await over(/waiting for a restart/, "nothing that waits");
}

/** What a screen reader is told: the tree that the browser makes for it. */
async function tree() {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  await session.detach();
  const seen = nodes.filter((node) => !node.ignored);
  const named = (role) => seen.filter((node) => node.role?.value === role).map((node) => node.name?.value?.trim() ?? "");
  return { named, seen };
}

async function reader() {
  for (const width of [1200, 360]) {
    await page.setViewportSize({ width, height: 900 });
    const { named, seen } = await tree();
    const all = await page.evaluate(() => [...window.sent.streams, ...window.sent.clients].map((one) => one.key));
    const roles = ["button", "link", "image", "table", "region", "columnheader", "rowheader", "heading", "main", "banner"];
    const mute = roles.filter((role) => !["main", "banner"].includes(role) && named(role).some((name) => name === ""));
    same(`${width} px: all has a name`, mute, []);
    same(`${width} px: landmarks`, ["main", "banner", "contentinfo"].map((role) => named(role).length), [1, 1, 1]);
    const regions = ["What needs attention", "Now", "The last hour, by the minute", "Streams", "Clients", "Routes"];
    same(`${width} px: regions`, named("region").map((name) => name.replace(/ \d+$/, "")), regions);
    same(`${width} px: tables`, named("table").map((name) => name.split(/,| of each/)[0]), [
      "What happened in the last hour", "Streams", "Clients", "What the streams",
    ]);
    const heads = named("columnheader");
    const missing = ["stream", "state", "window", "retained", "clients", "furthest behind", "behind by"].filter((one) => !heads.includes(one));
    same(`${width} px: what columns are called`, missing, []);
    same(`${width} px: each row by what it is of`, all.every((name) => named("rowheader").some((one) => one.includes(name))), true);
    check(`${width} px: the chart in words`, named("image").some((name) => /6 resumed and \d+ gaps/.test(name)) ? "" : named("image").join());
    same(`${width} px: one that says how new it is`, seen.some((node) => node.role?.value === "status"), true);
  }
  await page.setViewportSize({ width: 1200, height: 900 });
}

/** What changes each second is not read out each second. */
async function quiet() {
  origin.talk(20);
  const spoken = await page.evaluate(async () => {
    const spoken = [];
    const watch = new MutationObserver((all) => all.forEach((one) => spoken.push(one.target.textContent)));
    for (const live of document.querySelectorAll("[aria-live], [role=status], [role=alert]")) {
      watch.observe(live, { childList: true, characterData: true, subtree: true });
    }
    const first = window.sent.uptime_seconds;
    while (window.sent.uptime_seconds < first + 4) await new Promise((done) => setTimeout(done, 50));
    return spoken;
  });
  same("in seconds in which nothing happens nothing is read out", spoken, []);
  origin.quiet();
}

/** So many watch that one more cannot: its page says so, and shows the status all the same. */
async function crowd() {
  const others = [];
  for (let n = 0; n < 15; n++) {
    const away = new AbortController();
    const answer = await fetch(`${url}status/events`, { signal: away.signal });
    others.push({ answer, away });
  }
  same("fifteen others watch", others.filter(({ answer }) => answer.status === 200).length, 15);
  const own = [];
  const late = await openTab(browser, url, own);
  await late.goto(url);
  await soon(async () => /16 watch live already.*every 2 s/.test(await late.locator("#link").innerText()), "word of the crowd");
  const uptime = () => late.locator("#tiles div:last-child .value").innerText();
  const before = await uptime();
  await soon(async () => (await uptime()) !== before, "uptime that moves without events");
  same("the others' page is live", await text("#link"), "Live.");
  check("and it is not stale", (await late.locator("body.stale").count()) === 0 ? "" : "it is");
  await screenshots(late, "crowd");
  others.forEach(({ answer, away }) => {
    answer.body.cancel().catch(() => {});
    away.abort();
  });
  await soon(async () => (await late.locator("#link").innerText()) === "Live.", "a place among those who watch");
  const complaints = own.filter((fault) => !/status of 503/.test(fault));
  same("nothing else was wrong with that page", complaints, []);
  await late.close();
}

/** SIGTERM: it is draining, and says for how long, and who is left. */
async function drain() {
  same("no error, no violation of the policy, and no request to elsewhere", faults.splice(0), []);
  respool.stopping = true;
  respool.child.kill("SIGTERM");
  await alerted(/Draining for \d+ s of at most 15 min 0 s\. Clients that are left: 2\./, "drain, with two clients left");
  check("the tile says it", /for \d+ s/.test(await tile("Drain").innerText()) ? "" : await tile("Drain").innerText());
  same("those who are left are listed", await page.locator("#clients tbody tr").count(), 2);
  await screenshots(page, "drain");
  clients[0].source.close();
  await alerted(/Clients that are left: 1\./, "one client left");
  clients[1].source.close();
  const [code] = await respool.exit;
  same("respool ends with 0 when nobody is", code, 0);
  await soon(async () => /Connection lost/.test(await text("#link")), "word that the connection is lost");
}

await main(200, start, windows, answers, upstream, reload, reader, quiet, crowd, drain, async () => {
  origin.stop();
  await browser.close();
});
