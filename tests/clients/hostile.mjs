// The status page before an event server, clients and values that would be markup, if anybody took them for it.

import { once } from "node:events";
import net from "node:net";

import { launch } from "./chromium.mjs";
import { openTab, screenshot, soon } from "./statuspage.mjs";
import { Respool, check, main, same, sleep } from "./world.mjs";

const MARKUP = [
  "<script>window.owned=1</script>",
  "<img/src=x/onerror=window.owned=1>",
  "\"'><svg/onload=window.owned=1>",
  "javascript:window.owned=1//",
  "</title></script><iframe/srcdoc='<script>parent.owned=1</script>'>",
  "{{constructor.constructor('owned=1')()}}${owned=1}",
  "\u2028\u202e\u009b31mforged",
];
/** As a route may be called. */
const NAMES = ["/{a,<script>window.owned=1</script>}", "/{b,<img/src=x/onerror=window.owned=1>}", "/{c,\"><svg/onload=owned=1>}"];

const route = (name, lines) => `[[route]]\npath = '${name}'\n${lines}\n`;
const ROUTES = `
admin_actions = ["purge"]
limits = { event = "64KiB" }
${route(NAMES[0], 'mode = "shared"\nkey = ["path"]\nadmit = "none"')}
${route(NAMES[1], "heartbeat = '1s'")}
${route(NAMES[2], "ids = 'hidden'")}`;
/** What is wrong with it is told on the page. */
const WRONG = MARKUP.slice(0, 5).map((text, n) => route(`/w${n}`, `mode = '''${text}'''`)).join("\n");

let browser, respool, page, url, upstream;
const [faults, sockets] = [[], []];

/** An event server that says all of it wherever it can say anything; or, where asked, what is no answer. */
function serve(socket) {
  sockets.push(socket);
  socket.on("error", () => {});
  socket.once("data", (head) => {
    const said = MARKUP.map((text) => `event: ${text}\nid: ${text}\n: ${text}\ndata: ${text}\n\n`).join("");
    const headers = `X-Forged: ${MARKUP[1]}\r\nLink: <${MARKUP[3]}>; rel=preload\r\nSet-Cookie: a=${MARKUP[0]}\r\n`;
    if (head.includes("nonsense")) return socket.end(`${MARKUP[0]}\r\n${MARKUP[1]}\r\n\r\n`);
    socket.write(`HTTP/1.1 200 ${MARKUP[0]}\r\nContent-Type: text/event-stream\r\n${headers}Connection: close\r\n\r\n${said}`);
    if (head.includes("toolarge")) socket.write(`data: ${MARKUP[0].repeat(5000)}\n\n`);
  });
}

/** A client that says all of it, and stays. */
async function ask(path, text, id = "") {
  const plain = text.replace(/[^\x21-\x7e\u0080-\uffff]/g, "_");
  const socket = net.connect(respool.port, "127.0.0.1");
  sockets.push(socket);
  socket.on("error", () => {});
  socket.write(
    `GET ${path}?q=${plain.replace(/["<>{}]/g, (c) => encodeURIComponent(c))} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n` +
      `User-Agent: ${plain}\r\nX-Evil: ${plain}\r\nCookie: a=${plain}\r\nReferer: ${plain}\r\n${id && `Last-Event-ID: ${plain}\r\n`}\r\n`,
  );
  await Promise.race([once(socket, "data"), once(socket, "close"), sleep(2000)]);
}

async function start() {
  browser = await launch();
  upstream = net.createServer(serve).listen(0, "127.0.0.1");
  await once(upstream, "listening");
  respool = await Respool.start(`http://127.0.0.1:${upstream.address().port}`, ROUTES);
  url = `http://127.0.0.1:${respool.admin}/`;
  page = await openTab(browser, url, faults);
}

async function attack() {
  for (const text of MARKUP) {
    for (const path of ["/a", "/b", "/c", "/<d>".replace(/[<>]/g, encodeURIComponent)]) {
      await ask(path, text);
      await ask(path, text, "with it");
    }
  }
  await ask("/a/nonsense", MARKUP[0]);
  await ask("/b/toolarge", MARKUP[1]);
  respool.reload(ROUTES + WRONG);
}

async function shown() {
  const response = await page.goto(url);
  const policy = response.headers()["content-security-policy"];
  for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) {
    check(`the policy says ${part}`, policy.split("; ").includes(part) ? "" : policy);
  }
  check("and nothing unsafe", /unsafe|\*|data:/.test(policy) ? policy : "");
  const text = () => page.locator("body").innerText();
  const named = async (shown) => NAMES.every((name) => shown.includes(name));
  await soon(async () => named(await text()), "routes on the page");
  await soon(async () => (await page.locator("#streams tbody tr").count()) > 5, "streams on the page");
  await soon(async () => (await text()).includes(MARKUP[0]), "the wrong value as text");
  await sleep(2500);
  await screenshot(page, "hostile", { fullPage: true });
  const found = await page.evaluate(() => {
    const all = [...document.querySelectorAll("*")];
    return {
      owned: window.owned ?? "no",
      strangers: all.filter((element) => ["IMG", "IFRAME", "OBJECT", "EMBED", "BASE", "STYLE"].includes(element.tagName)).length,
      scripts: [...document.scripts].map((script) => script.getAttribute("src")),
      handlers: all.filter((element) => element.getAttributeNames().some((name) => name.startsWith("on"))).length,
      links: [...document.links].map((link) => link.protocol).filter((protocol) => protocol !== "http:"),
      title: document.title,
    };
  });
  found.title = /[<>]/.test(found.title) ? found.title : "plain";
  same("nothing of theirs is there or ran", found, {
    owned: "no", strangers: 0, scripts: ["status.js"], handlers: 0, links: [], title: "plain",
  });
  check("what events and requests said is not on it", /forged|with_it/.test(await text()) ? await text() : "");
  same("no error, dialog, or request to elsewhere", faults, []);
}

/** What respool itself answers to a page's address is text, whatever was asked for. */
async function answers() {
  const other = await browser.newPage();
  const dialogs = [];
  other.on("dialog", (dialog) => dialogs.push(dialog.message()));
  for (const path of ["nonsense/<script>window.owned=1</script>", "%00<img src=x onerror=window.owned=1>/nonsense", "x".repeat(9000)]) {
    const response = await other.goto(`http://127.0.0.1:${respool.port}/${path}`, { timeout: 15_000 });
    const { status, kind } = { status: response.status(), kind: response.headers()["content-type"] };
    check(`it refuses (${status})`, status >= 400 && kind === "text/plain; charset=utf-8" ? "" : `${status} ${kind}`);
    const seen = await other.evaluate(() => [window.owned ?? "no", document.images.length, document.body.innerText]);
    same("and runs nothing", seen.slice(0, 2), ["no", 0]);
    check("nor repeats anything", /owned|nonsense|xxx/.test(seen[2]) ? seen[2] : "");
  }
  same("nor asks anything", dialogs, []);
  await other.close();
}

await main(120, start, attack, shown, answers, async () => {
  same("respool ends with 0", await respool.stop(), 0);
  sockets.forEach((socket) => socket.destroy());
  upstream.close();
  await browser.close();
});
