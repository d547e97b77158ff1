// Twenty tabs of a real browser on one origin: by HTTP/1.1 it opens six connections and the seventh tab waits; by HTTP/2
// and TLS all of them are live.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { launch } from "./chromium.mjs";
import { Origin, Respool, check, eventually, main, same, sleep, whole } from "./world.mjs";

const TABS = 20;
// What a browser opens by HTTP/1.1.
const CONNECTIONS = 6;

const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>tab</title>
<script>
  const events = []
  let broken = 0
  const source = new EventSource("/feed")
  source.onmessage = (event) => events.push(JSON.parse(event.data))
  source.onerror = () => broken++
  const spoken = performance.getEntriesByType("navigation")[0].nextHopProtocol
</script>`;

let browser;
const place = mkdtempSync(join(tmpdir(), "respool-tabs-"));
process.on("exit", () => rmSync(place, { recursive: true, force: true }));

async function start() {
  const [key, certificate] = [join(place, "key.pem"), join(place, "certificate.pem")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  execFileSync("openssl", ["req", "-x509", ...curve, ...names, "-keyout", key, "-out", certificate], {
    stdio: "ignore",
  });
  // A certificate that nobody signed: it is told not to mind.
  browser = await launch("--ignore-certificate-errors");
}

async function tabs(listen, part) {
  const origin = await Origin.start({ "/": PAGE });
  const files = `certificate = '${join(place, "certificate.pem")}'\nkey = '${join(place, "key.pem")}'`;
  const respool = await Respool.start(origin.url, `[tls]\n${files}\n`, listen);
  const context = await browser.newContext();
  const url = `${listen.startsWith("https:") ? "https" : "http"}://127.0.0.1:${respool.port}/`;
  const open = async () => {
    const page = await context.newPage();
    await page.goto(url, { timeout: 20_000 });
    return page;
  };
  await part(origin, open);
  await context.close();
  same(`respool ends with 0 when told to, ${listen}`, await respool.stop(), 0);
  origin.stop();
}

const of = (pages, what) => Promise.all(pages.map((page) => page.evaluate(what)));

const multiplexed = () =>
  tabs("https://127.0.0.1:0", async (origin, open) => {
    const pages = [];
    while (pages.length < TABS) pages.push(await open());
    await eventually(() => origin.open.get("/feed") === TABS, "every tab's stream");
    for (let n = 0; n < 10; n++) origin.say();
    const live = async () => (await of(pages, "events.length")).filter((n) => n === 10).length;
    await eventually(async () => (await live()) === TABS, "the last event in every tab");
    same("tabs: all speak HTTP/2", [...new Set(await of(pages, "spoken"))], ["h2"]);
    for (const events of await of(pages, "events")) {
      const wrong = whole(events, 1, origin.n);
      if (wrong) check("tabs: each event once, in order", wrong);
    }
    same(`tabs: ${TABS} of ${TABS} are live`, await live(), TABS);
    same("tabs: none was cut", Math.max(...(await of(pages, "broken"))), 0);
  });

// What it is for: the same without.
const plain = () =>
  tabs("127.0.0.1:0", async (origin, open) => {
    const pages = [];
    while (pages.length < CONNECTIONS) pages.push(await open());
    await eventually(() => origin.open.get("/feed") === CONNECTIONS, "six streams");
    const seventh = open().catch(() => undefined);
    const opened = await Promise.race([seventh.then(() => "opened"), sleep(1500).then(() => "waits")]);
    same("tabs: by HTTP/1.1 the seventh waits", opened, "waits");
    await pages[0].close();
    check("tabs: until one of them goes", (await seventh) ? undefined : "it does not open");
  });

await main(80, start, multiplexed, plain, () => browser.close());
