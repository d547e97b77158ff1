// The npm package `eventsource`, through respool, against an event server by sse-starlette: another framework, with
// CRLF for line ends, pings of its own, and events of a type. A second client does without respool.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import { Relay, Respool, check, eventually, listen, main, numbered, same, whole } from "./world.mjs";

const CUTS = 20;

async function cuts() {
  const python = process.env.PYTHON ?? "python3";
  const stdio = ["ignore", "pipe", "inherit"];
  const server = spawn(python, [new URL("server.py", import.meta.url).pathname], { stdio });
  process.on("exit", () => server.kill("SIGKILL"));
  const [port] = await once(createInterface({ input: server.stdout }), "line");
  const respool = await Respool.start(`http://127.0.0.1:${port}`);
  const relay = await Relay.start(respool.port);
  const without = await Relay.start(port);
  const [client, bare] = [relay, without].map(({ port }) => listen(`http://127.0.0.1:${port}/feed`, "tick"));
  await eventually(() => client.events.length > 0 && bare.events.length > 0, "first event");
  await Promise.all([relay, without].map((its) => its.cutAtRandom("/feed", CUTS, 200)));
  await eventually(() => [relay, without].every((its) => its.streams("/feed").length === 1), "reconnect");
  const { n, asked, ids } = await (await fetch(`http://127.0.0.1:${port}/quiet`)).json();
  await eventually(() => client.events.at(-1).n === n, "last event");
  const of = `sse-starlette, private, ${relay.cuts} cuts, ${client.events.length} events`;
  const says = (n) => "grün 😀".repeat(n % 50);
  check(`${of}: each once, in order`, whole(client.events, client.events[0].n, n, says));
  check(`${of}: ids are ours`, numbered(client.ids));
  same(`${of}: one upstream connection, and one each time without respool`, asked, 1 + (1 + CUTS));
  same(`${of}: no id of ours reached the server`, ids, 0);
  same(`${of}: each answer was a resume`, await respool.answers("/feed"), { fresh: 1, resumed: CUTS });
  const due = n - bare.events[0].n + 1;
  const lost = due - bare.events.length;
  check(`sse-starlette, without respool, ${CUTS} cuts: it loses ${lost} of ${due} events`, lost > 0 ? "" : "none");
  for (const its of [client, bare]) its.source.close();
  for (const its of [relay, without]) its.stop();
  same("respool ends with 0 when told to", await respool.stop(), 0);
}

await main(60, cuts);
