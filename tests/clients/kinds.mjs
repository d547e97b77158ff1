// The clients that people use, each made to do the same: connect, and write down what it dispatches.
//
// CHROMIUM            the browsers; without one, its clients are missing
// FIREFOX
// PYTHON              with the packages of requirements.txt
// EVENTSOURCE_CLIENT  the program of rust/

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

import { EventSource } from "eventsource";

import { ARGUMENTS } from "./chromium.mjs";

const require = createRequire(import.meta.url);
const EventSource2 = require("eventsource2");
const { EventSourcePolyfill } = require("event-source-polyfill");
const { fetchEventSource } = require("@microsoft/fetch-event-source");

// What `@microsoft/fetch-event-source` expects of a browser.
globalThis.window ??= globalThis;
globalThis.document ??= { addEventListener() {}, removeEventListener() {}, hidden: false };

// `event-source-polyfill` tells of each cut.
console.error = () => {};

/** What one client saw. */
export class Client {
  /** Events, and with each the id that the client gave with it. */
  events = [];
  ids = [];
  /** What it took for an event, and is none that the server sent. */
  strange = [];
  /** All that it dispatched. */
  all = [];
  /** It will not come back any more. */
  over = false;
  stop = () => {};

  constructor(who) {
    this.who = who;
  }

  dispatch(data, id) {
    this.all.push(data);
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      this.strange.push(data);
      return;
    }
    this.events.push(event);
    this.ids.push(id ?? "");
  }

  get last() {
    return this.events.at(-1)?.n ?? 0;
  }
}

function bySource(Source) {
  return (client, url) => {
    const source = new Source(url);
    source.onmessage = (event) => client.dispatch(event.data, event.lastEventId);
    source.onerror = () => (client.over ||= source.readyState === 2);
    client.stop = () => source.close();
  };
}

function byFetch(client, url) {
  const abort = new AbortController();
  const onmessage = (event) => client.dispatch(event.data, event.id);
  const over = () => (client.over = true);
  fetchEventSource(url, { openWhenHidden: true, signal: abort.signal, onmessage }).then(over, over);
  client.stop = () => abort.abort();
}

/** A program that prints a line for each event. */
function byProgram(...command) {
  return (client, url) => {
    const child = spawn(command[0], [...command.slice(1), url], { stdio: ["ignore", "pipe", "inherit"] });
    process.on("exit", () => child.kill("SIGKILL"));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const event = /^event (\S+) (.*)$/.exec(line);
      if (event) client.dispatch(event[2], event[1] === "-" ? "" : event[1]);
    });
    child.on("exit", () => (client.over = true));
    client.stop = () => child.kill("SIGKILL");
  };
}

const file = (path) => new URL(path, import.meta.url).pathname;

const here = [
  { name: "npm eventsource 4", start: bySource(EventSource) },
  { name: "npm eventsource 2", start: bySource(EventSource2) },
  { name: "npm @microsoft/fetch-event-source", start: byFetch },
  { name: "npm event-source-polyfill", start: bySource(EventSourcePolyfill) },
];

const programs = [
  ...["httpx-sse", "sseclient-py"].map((name) => ({
    name: `PyPI ${name}`,
    needs: process.env.PYTHON,
    start: byProgram(process.env.PYTHON, file("client.py"), name),
  })),
  {
    name: "crate eventsource-client",
    needs: process.env.EVENTSOURCE_CLIENT,
    start: byProgram(process.env.EVENTSOURCE_CLIENT),
  },
];

const pages = ["Chromium", "Firefox"].flatMap((browser) =>
  ["EventSource", "@microsoft/fetch-event-source", "event-source-polyfill"].map((kind) => ({
    name: `${browser} ${kind}`,
    needs: process.env[browser.toUpperCase()],
    browser,
    kind,
  })),
);

/** All clients, and those of them that can be had here. What is missing is said, and fails under CI=true. */
export const kinds = [...here, ...programs, ...pages];
export const installed = kinds.filter((kind) => !("needs" in kind) || (kind.needs && existsSync(kind.needs)));

/** The page that `Client`s in browsers run on, for an express server. */
export function servePage(app) {
  const packages = dirname(require.resolve("@microsoft/fetch-event-source/package.json"));
  const script = (response, path) => response.type("text/javascript").send(readFileSync(path, "utf8"));
  app.get("/page", (_, response) => response.send(readFileSync(file("page.html"), "utf8")));
  app.get("/polyfill.js", (_, response) => script(response, require.resolve("event-source-polyfill")));
  // Its modules name each other without an extension.
  app.get("/fetch-event-source/:name", (request, response) =>
    script(response, join(packages, "lib/esm", `${request.params.name.replace(".js", "")}.js`)),
  );
}

/** A browser with one page, which reports what happens there. */
class Browser {
  static async open(name, page, clients) {
    const browser = new Browser();
    const places = new Map(clients.map(({ client }) => [client.who, client]));
    browser.server = createServer(async (request, response) => {
      let body = "";
      // A character may come in two pieces.
      request.setEncoding("utf8");
      for await (const piece of request) body += piece;
      for (const [who, what, ...rest] of JSON.parse(body)) {
        if (what === "over") places.get(who).over = true;
        else places.get(who).dispatch(...rest);
      }
      response.end();
    }).listen(0, "127.0.0.1");
    await once(browser.server, "listening");
    const report = `http://127.0.0.1:${browser.server.address().port}/`;
    const listed = clients.map(({ kind, client, url }) => ({ kind, who: client.who, url }));
    const url = `${page}#${encodeURIComponent(JSON.stringify({ report, clients: listed }))}`;
    browser.place = mkdtempSync(join(tmpdir(), "respool-browser-"));
    const [program, ...options] = name === "Firefox" ? browser.#firefox() : browser.#chromium();
    const env = { ...process.env, HOME: browser.place, MOZ_DISABLE_CONTENT_SANDBOX: "1" };
    browser.child = spawn(program, [...options, url], { env, stdio: "ignore", detached: true });
    process.on("exit", () => browser.stop());
    return browser;
  }

  #firefox() {
    const quiet = {
      "network.proxy.type": 0,
      "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false,
      "app.update.enabled": false,
      "app.normandy.enabled": false,
      "browser.safebrowsing.downloads.remote.enabled": false,
      "browser.shell.checkDefaultBrowser": false,
      "browser.aboutwelcome.enabled": false,
      "datareporting.policy.dataSubmissionEnabled": false,
      "extensions.update.enabled": false,
      "services.settings.server": "data:,",
      "toolkit.telemetry.enabled": false,
    };
    const lines = Object.entries(quiet).map(
      ([key, value]) => `user_pref("${key}", ${JSON.stringify(value)});\n`,
    );
    writeFileSync(join(this.place, "user.js"), lines.join(""));
    return [process.env.FIREFOX, "--headless", "--no-remote", "--profile", this.place];
  }

  #chromium() {
    return [
      process.env.CHROMIUM,
      ...ARGUMENTS,
      `--user-data-dir=${this.place}`,
      // It ends when nobody listens here.
      "--remote-debugging-port=0",
    ];
  }

  /** Ends it, with all the processes that it has. */
  stop() {
    if (!this.place) return;
    try {
      process.kill(-this.child.pid, "SIGKILL");
    } catch {}
    this.server.close();
    rmSync(this.place, { recursive: true, force: true, maxRetries: 5 });
    this.place = undefined;
  }
}

/**
 * Starts clients: `wanted` are a kind each, a name, and an address. Those in browsers run on `page`, one for each
 * browser.
 */
export async function start(page, wanted) {
  const clients = wanted.map(({ kind, who, url }) => ({ ...kind, url, client: new Client(who) }));
  for (const { start, client, url } of clients) start?.(client, url);
  for (const browser of new Set(clients.flatMap(({ browser }) => browser ?? []))) {
    const its = clients.filter((client) => client.browser === browser);
    const open = await Browser.open(browser, page, its);
    its.forEach(({ client }) => (client.stop = () => open.stop()));
  }
  return clients.map(({ client }) => client);
}
