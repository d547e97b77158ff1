// The status page in a real browser: what an operator sees of streams, clients, a gap, an outage, a purge and a drain.
//
// SCREENSHOTS  a directory for screenshots (default: none are taken)

import net from "node:net";

import { launch } from "./chromium.mjs";
import { openTab, screenshot, soon } from "./statuspage.mjs";
import { Origin, Respool, check, listen, main, same, sleep } from "./world.mjs";

const HOSTILE = "/{feed/a,<img/src=x/onerror=alert(1)>}";
const ROUTES = `
admin_actions = ["purge", "drain"]

[[route]]
path = "/shared"
mode = "shared"
key = ["path"]
admit = "none"
window = { events = 64, age = "20s" }

[[route]]
path = '${HOSTILE}'

[[route]]
path = "/feed"
`;

let browser, origin, respool, page, url;
const faults = [];
const clients = [];

async function start() {
  browser = await launch();
  origin = await Origin.start();
  respool = await Respool.start(origin.url, ROUTES);
  url = `http://127.0.0.1:${respool.admin}/`;
  page = await openTab(browser, url, faults);
}

const text = (selector) => page.locator(selector).innerText();
const status = async () => (await fetch(`${url}status`)).json();

/** The row of a stream, by what it says. */
const stream = (words) => page.locator("#streams tbody tr").filter({ hasText: words });

async function load() {
  const response = await page.goto(url);
  same("the page is there", response.status(), 200);
  await soon(async () => (await text("#link")) === "Live.", "status on the page");
  same("nothing needs attention at first", await page.locator("#alerts li").count(), 1);
  await page.waitForTimeout(100);
}

async function streams() {
  for (let n = 0; n < 3; n++) clients.push(listen(`http://127.0.0.1:${respool.port}/shared`));
  for (const path of ["/feed", "/feed/a"]) clients.push(listen(`http://127.0.0.1:${respool.port}${path}`));
  await soon(() => ["/shared", "/feed", "/feed/a"].every((path) => origin.open.get(path) === 1), "upstream connections");
  origin.talk(20);
  await soon(async () => (await page.locator("#streams tbody tr").count()) === 3, "streams on the page");
  const fence = async () => Number(/fence ([\d,]+)/.exec(await stream("/shared").innerText())?.[1].replaceAll(",", ""));
  const [one, uptime] = [await fence(), await text("#tiles div:last-child .value")];
  await soon(async () => (await fence()) > one, "fence that moves");
  await soon(async () => (await text("#tiles div:last-child .value")) !== uptime, "uptime that moves");
  check("numbers move", "");
  const row = await stream("/shared").innerText();
  check("a shared stream says what it is", /live/.test(row) && /shared/.test(row) && / of 64 events/.test(row) ? "" : row);
  const shown = await stream("/shared").locator("code").innerText();
  const said = (await status()).streams.find((one) => one.route === "/shared").key;
  same("its key is the short hash", [shown, /^[0-9a-f]{8}$/.test(shown)], [said, true]);
  same("clients are counted", await page.locator("#clients tbody tr").count(), 5);
}

/** A client that reads nothing is shown with its lag, first and in words. */
async function slow() {
  const socket = net.connect(respool.port, "127.0.0.1");
  socket.write("GET /shared HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n");
  socket.pause();
  for (let n = 0; n < 8000; n++) origin.say();
  await soon(async () => /a cut would be a gap/.test(await page.locator("#clients tbody tr").first().innerText()), "slow client");
  const first = await page.locator("#clients tbody tr").first().innerText();
  check("the one furthest behind comes first", /[\d,]+ events?, .* [KM]iB/.test(first) ? "" : first);
  check("and is an alert in words", /so far behind/.test(await text("#alerts")) ? "" : await text("#alerts"));
  await screenshot(page, "slow", { fullPage: true });
  socket.destroy();
  await soon(async () => !/so far behind/.test(await text("#alerts")), "all caught up");
}

async function gaps() {
  const forged = `r${"0".repeat(13)}-7`;
  for (let n = 0; n < 5; n++) {
    const answer = await fetch(`http://127.0.0.1:${respool.port}/shared`, {
      headers: { accept: "text/event-stream", "last-event-id": forged },
    });
    same("a forged id is a gap", answer.headers.get("respool-resume"), "gap; reason=generation");
    await answer.body.cancel();
  }
  for (let n = 0; n < 12; n++) {
    const answer = await fetch(`http://127.0.0.1:${respool.port}/shared`, {
      headers: { accept: "text/event-stream", "last-event-id": clients[0].ids.at(-1) },
    });
    check("a true one is a resume", /^resumed/.test(answer.headers.get("respool-resume")) ? "" : "it is not");
    await answer.body.cancel();
  }
  const row = page.locator("#hour tbody tr").filter({ hasText: "another run" });
  await soon(async () => /\b5\b/.test(await row.innerText()), "gaps on the page");
  await soon(async () => /12 resumed and 5 gaps/.test(await text("#chart-words")), "resumes against gaps in words");
  check("gaps need attention", /5 gaps in 5 minutes by ids/.test(await text("#alerts")) ? "" : await text("#alerts"));
}

/** What a route is called is text, whatever it looks like. */
async function hostile() {
  check("the hostile route is shown", (await text("#routes")).includes(HOSTILE) ? "" : await text("#routes"));
  same("and is no element", await page.locator("main img").count(), 0);
}

async function semantics() {
  const found = await page.evaluate(() => {
    const named = (element) => {
      const by = element.getAttribute("aria-labelledby");
      return Boolean(element.getAttribute("aria-label") || (by && document.getElementById(by)?.textContent.trim()));
    };
    const all = (selector) => [...document.querySelectorAll(selector)];
    return {
      landmarks: ["header", "main", "footer"].filter((name) => all(`body > ${name}`).length !== 1),
      sections: all("main > section").filter((section) => !named(section)).map((section) => section.id),
      tables: all("table").filter((table) => !table.caption || table.getAttribute("role") !== "table").map((table) => table.id),
      heads: all("thead th").filter((th) => th.scope !== "col" || !th.textContent.trim()).length,
      rows: all("tbody tr").filter((tr) => tr.querySelectorAll('th[scope="row"]').length !== 1).length,
      live: document.getElementById("alerts").getAttribute("aria-live"),
      link: document.getElementById("link").getAttribute("role"),
      images: all("svg:not([aria-hidden])").filter((svg) => svg.getAttribute("role") !== "img" || !named(svg)).length,
      language: document.documentElement.lang,
      headings: all("h1").length,
      inline: all("[style]").length + all("style").length,
    };
  });
  const good = { landmarks: [], sections: [], tables: [], heads: 0, rows: 0, live: "polite", link: "status", images: 0 };
  same("landmarks, heads, captions and live regions", found, { ...good, language: "en", headings: 1, inline: 0 });
}

/** The text that can hardly be read on what is behind it, in this scheme: WCAG's AA. */
async function contrast(scheme) {
  const poor = await page.evaluate(() => {
    const parse = (colour) => /rgba?\((\d+), (\d+), (\d+)(?:, ([\d.]+))?\)/.exec(colour)?.slice(1).map((n) => Number(n ?? 1));
    const light = (rgb) =>
      rgb.slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const colour = parse(getComputedStyle(at).backgroundColor);
        if (colour && colour[3] !== 0) return colour;
      }
      return [255, 255, 255];
    };
    const poor = new Set();
    for (const element of document.querySelectorAll("body *")) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!own || element.closest("svg, dialog, .hidden, [hidden], button:disabled, .skip, noscript")) continue;
      const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) poor.add(`${element.tagName}.${element.className}: ${ratio.toFixed(1)}`);
    }
    return [...poor];
  });
  same(`${scheme}: all text has contrast`, poor, []);
}

async function looks() {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const [width, height] of [[1200, 900], [768, 1000], [360, 740]]) {
      await page.setViewportSize({ width, height });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      same(`${colorScheme}, ${width} px: nothing to scroll sideways`, wide, width);
      await screenshot(page, `${colorScheme}-${width}`, { fullPage: true });
      for (let n = 0; width === 360 && n < 4; n++) {
        await page.evaluate((y) => window.scrollTo(0, y), n * 660);
        await screenshot(page, `${colorScheme}-${width}-${n}`);
      }
    }
    await contrast(colorScheme);
    const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    check(`${colorScheme}: the ground is`, (colorScheme === "dark") === /rgb\((\d|[1-9]\d),/.test(dark) ? "" : dark);
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await page.setViewportSize({ width: 1200, height: 900 });
  const moves = await page.evaluate(() => document.getAnimations().length);
  same("nothing moves for who asked for that", moves, 0);
}

/** What the focus is on, by its words. */
const focused = () =>
  page.evaluate(() => {
    const at = document.activeElement;
    const seen = at.matches(":focus-visible") && getComputedStyle(at).outlineStyle !== "none";
    return { name: at.getAttribute("aria-label") ?? at.textContent.trim(), seen, id: at.id, tag: at.tagName };
  });

async function keyboard() {
  await page.evaluate(() => {
    document.activeElement.blur();
    window.scrollTo(0, 0);
  });
  const reached = [];
  for (let n = 0; n < 60; n++) {
    await page.keyboard.press("Tab");
    const at = await focused();
    if (at.tag === "BODY") break;
    if (!at.seen) check("the focus is seen", at.name);
    reached.push(at.name);
  }
  const wanted = [/^Skip to/, /^Pause$/, /^Drain…$/, /^Purge stream #\d+$/, /^Counted since/, /^status$/, /^metrics$/];
  const missing = wanted.filter((name) => !reached.some((had) => name.test(had))).map(String);
  same("the keyboard reaches everything", missing, []);
  same("each stream's button", reached.filter((name) => name.startsWith("Purge")).length, 3);
}

async function pause() {
  await page.locator("#pause").focus();
  await page.keyboard.press("Enter");
  same("paused", [await text("#link"), await page.locator("#pause").getAttribute("aria-pressed")], ["Paused.", "true"]);
  const before = await text("#tiles");
  await sleep(2500);
  same("what is paused stays", await text("#tiles"), before);
  await page.keyboard.press("Space");
  await soon(async () => (await text("#link")) === "Live.", "going on");
  check("and goes on", (await text("#tiles")) === before ? "it does not" : "");
}

/** Who does not look is sent nothing, and finds it live when they look again. */
async function hidden() {
  const hide = (is) =>
    page.evaluate((is) => {
      Object.defineProperty(document, "hidden", { value: is, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, is);
  await hide(true);
  const before = await text("#tiles");
  await sleep(2500);
  same("a hidden page stays as it was", await text("#tiles"), before);
  await hide(false);
  await soon(async () => (await text("#tiles")) !== before && (await text("#link")) === "Live.", "life when it is seen again");
}

/** A stream is purged by the keyboard, and the focus stays where it was. */
async function purge() {
  origin.quiet();
  const button = stream("/shared").locator("button");
  await button.focus();
  const { name } = await focused();
  await sleep(2500);
  same("the focus stays while numbers change", (await focused()).name, name);
  await page.keyboard.press("Enter");
  same("it asks first, and would leave it", (await focused()).name, "Leave it");
  await screenshot(page, "ask");
  await page.keyboard.press("Escape");
  await sleep(1500);
  const events = async () => (await status()).streams.find((one) => one.route === "/shared").window.events;
  check("nothing was purged", (await events()) > 0 ? "" : "it was");
  same("the focus is back", (await focused()).name, name);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  same("by the keyboard", (await focused()).name, "Purge it");
  await page.keyboard.press("Enter");
  await soon(async () => /purged/.test(await text("#said")), "word of the purge");
  same("the window is empty", await events(), 0);
  check("the log says so", respool.said.some((line) => /"WARN".*"purge".*"\/shared"/.test(line)) ? "" : respool.said.at(-1));
  origin.talk(20);
}

async function outage() {
  await origin.down();
  await soon(async () => /The upstream is away/.test(await text("#alerts")), "alert of the outage");
  const row = await stream("/shared").innerText();
  check("the stream says it in words", /no upstream/.test(row) ? "" : row);
  const first = await page.locator("#streams tbody tr").first().innerText();
  check("what is down comes first", /no upstream/.test(first) ? "" : first);
  check("the title says it", (await page.title()).startsWith("(!)") ? "" : await page.title());
  await page.setViewportSize({ width: 1200, height: 900 });
  await screenshot(page, "outage", { fullPage: true });
  await page.setViewportSize({ width: 360, height: 740 });
  await screenshot(page, "outage-360", { fullPage: true });
  await page.setViewportSize({ width: 1200, height: 900 });
  await origin.up();
  await soon(async () => !/The upstream is away/.test(await text("#alerts")), "end of the outage");
}

/** Another page cannot press a button, nor read a word. */
async function strangers() {
  const other = await browser.newPage();
  await other.goto(`${origin.url}/nothing`);
  const had = await other.evaluate(async (url) => {
    const tries = [fetch(`${url}status`), fetch(`${url}drain`, { method: "POST" })];
    return (await Promise.allSettled(tries)).map((one) => one.status);
  }, url);
  same("another origin reads nothing", had, ["rejected", "rejected"]);
  same("and drains nothing", (await status()).drain.draining, false);
  await other.close();
}

async function drain() {
  same("no error on the page, and no request to elsewhere", faults.splice(0), []);
  await page.locator("#drain").click();
  await page.locator("#ask-yes").click();
  const [code] = await Promise.race([respool.exit, sleep(20_000).then(() => ["it did not end"])]);
  same("respool ends with 0", code, 0);
  await soon(async () => /Connection lost/.test(await text("#link")), "word that the connection is lost");
  await screenshot(page, "lost");
}

await main(
  200,
  start,
  load,
  streams,
  slow,
  gaps,
  hostile,
  semantics,
  looks,
  keyboard,
  pause,
  hidden,
  purge,
  outage,
  strangers,
  async () => {
    respool.stopping = true;
    await drain();
    clients.forEach((client) => client.source.close());
    origin.stop();
    await browser.close();
  },
);
