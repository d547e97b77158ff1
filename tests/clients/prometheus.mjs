// Prometheus by the files in deploy/prometheus: it collects respool's metrics, its rules work, and each panel of the
// dashboard shows something.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  Origin,
  Relay,
  Respool,
  check,
  eventually,
  fail,
  freePort,
  listen,
  main,
  same,
  sleep,
} from "./world.mjs";

const files = new URL("prometheus/", import.meta.url);

/** A Prometheus that differs from the files in how often it asks, and whom. */
async function prometheus(admin) {
  const place = mkdtempSync(join(tmpdir(), "respool-prometheus-"));
  cpSync(files, place, { recursive: true });
  const config = readFileSync(new URL("scrape.yaml", files), "utf8");
  const target = '"127.0.0.1:9911"';
  if (config.split(target).length !== 2) fail(`scrape.yaml has ${target} not once`);
  const often = "global: { scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }\n";
  writeFileSync(join(place, "scrape.yaml"), often + config.replace(target, `"127.0.0.1:${admin}"`));
  const port = await freePort();
  const words = [`--config.file=${place}/scrape.yaml`, `--storage.tsdb.path=${place}/data`];
  const child = spawn("prometheus", [...words, `--web.listen-address=127.0.0.1:${port}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  let stopping = false;
  child.stderr.on("data", (bytes) => (said += bytes));
  child.on("exit", () => stopping || fail(`prometheus ended:\n${said}`));
  child.on("error", (error) => fail(`prometheus cannot be run: ${error.message}`));
  process.on("exit", () => {
    child.kill("SIGKILL");
    rmSync(place, { recursive: true, force: true });
  });
  return {
    async get(path) {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`).catch(() => undefined);
      return response?.ok ? (await response.json()).data : undefined;
    },
    async query(text) {
      return (await this.get(`query?query=${encodeURIComponent(text)}`))?.result;
    },
    async stop() {
      stopping = true;
      const exit = once(child, "exit");
      child.kill("SIGKILL");
      await exit;
    },
  };
}

/** A panel's query for all instances and routes, over a time that fits this test's. */
const plain = (query) => query.replace(/"\$(instance|route)"/g, '".*"').replaceAll("$__rate_interval", "30s");

async function watched() {
  const origin = await Origin.start();
  const respool = await Respool.start(origin.url);
  const store = await prometheus(respool.admin);
  await eventually(
    async () => (await store.query('up{job="respool"} == 1'))?.length === 1,
    "first scrape",
    30,
  );
  check("Prometheus reaches respool");

  const relay = await Relay.start(respool.port);
  origin.talk();
  const clients = ["/feed", "/admitted"].map((path) => listen(`http://127.0.0.1:${relay.port}${path}`));
  await eventually(() => clients.every((client) => client.events.length > 0), "first events");
  for (const path of ["/feed", "/admitted"]) await relay.cutAtRandom(path, 3, 100);
  const resumed = 'sum(respool_answers_total{answer="resumed"})';
  await eventually(
    async () => Number((await store.query(resumed))?.[0]?.value[1]) >= 5,
    "resumes in Prometheus",
  );
  check("it counts what clients did");

  const { panels } = JSON.parse(readFileSync(new URL("grafana.json", files), "utf8"));
  const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr]));
  const empty = async () => {
    const results = await Promise.all(
      queries.map(async ([, query]) => (await store.query(plain(query)))?.length),
    );
    return queries.filter((_, at) => !results[at]).map(([title]) => title);
  };
  // A rate takes two samples.
  for (let tries = 0; tries < 40 && (await empty()).length > 0; tries++) await sleep(250);
  same(`panels without anything, of ${queries.length} queries`, await empty(), []);

  const { groups } = await store.get("rules");
  const rules = groups.flatMap((group) => group.rules);
  same(
    "rules that do not work",
    rules.filter(({ health }) => health !== "ok").map(({ name }) => name),
    [],
  );
  same(
    "alerts about a respool that is well",
    rules.filter(({ state }) => state === "firing").map(({ name }) => name),
    [],
  );

  clients.forEach((client) => client.source.close());
  relay.stop();
  same("respool ends with 0 when told to", await respool.stop(), 0);
  origin.stop();
  await eventually(
    async () => (await store.query('ALERTS{alertname="RespoolDown"}'))?.length === 1,
    "alert when it is gone",
  );
  check("an alert is pending when respool is gone");
  await store.stop();
}

await main(90, watched);
