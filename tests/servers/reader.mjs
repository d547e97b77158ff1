// What is tested with real servers: their configurations, and two clients of event streams that show what came, one frame
// after the other, and as `EventSource` dispatches it.

import { readFileSync } from "node:fs";

import { EventSource } from "eventsource";

import { fail, sleep } from "../clients/world.mjs";

/** The routes that deploy/servers.md has for a server. */
export function configuration(server) {
  const doc = readFileSync(new URL("servers.md", import.meta.url), "utf8");
  const [, its] = doc.split(`\n## ${server}\n`);
  const [, toml] = /```toml\n(.*?)```/s.exec(its);
  return toml.replace(/^upstream = .*\n/, "");
}

/** One answer, frame by frame, as the bytes came. Comment lines are left out. */
export class Reader {
  /** Frames that are not comments alone. */
  frames = [];
  /** It has ended: "properly", or by a "cut". */
  over = "";
  #abort = new AbortController();

  /** Asks, with an id if there is one, and fails unless a stream is the answer. */
  static async open(url, id, headers = {}) {
    const reader = new Reader();
    const { signal } = reader.#abort;
    const given = id ? { ...headers, "last-event-id": id } : headers;
    const late = setTimeout(() => reader.#abort.abort(), 10_000);
    const answer = await fetch(url, { headers: given, signal }).catch((error) => fail(`${url}: ${error}`));
    clearTimeout(late);
    const type = answer.headers.get("content-type");
    if (answer.status !== 200 || type !== "text/event-stream") fail(`${url}: ${answer.status} ${type}`);
    reader.resume = answer.headers.get("respool-resume");
    reader.#read(answer.body);
    return reader;
  }

  async #read(body) {
    let rest = "";
    try {
      for await (const piece of body.pipeThrough(new TextDecoderStream())) {
        const frames = (rest + piece).split("\n\n");
        rest = frames.pop();
        this.frames.push(...frames.map((frame) => frame.replace(/^:.*\n?/gm, "")).filter(Boolean));
      }
      this.over = "properly";
    } catch {
      this.over = "cut";
    }
  }

  /** The data of its events. */
  get events() {
    return this.frames.flatMap((frame) => /^data: (.*)$/m.exec(frame)?.[1] ?? []);
  }

  /** The id that it would come back with. */
  get id() {
    return this.frames.flatMap((frame) => /^id: (.*)$/m.exec(frame)?.[1] ?? []).at(-1);
  }

  /** Waits until a frame says this, and gives it. */
  async said(what, seconds = 10) {
    for (let tries = 0; tries < seconds * 100; tries++) {
      const frame = this.frames.find((frame) => frame.includes(what));
      if (frame) return frame;
      await sleep(10);
    }
    fail(`no ${what} within ${seconds} s, but ${this.frames.map((frame) => frame.slice(0, 120)).join("\n")}`);
  }

  leave() {
    this.#abort.abort();
  }
}

/** A `fetch` for an `EventSource` whose patience is short: where the server says nothing, it would wait for 3 s. */
export async function impatient(input, init) {
  const answer = await fetch(input, init);
  const { body, headers, redirected, status, url } = answer;
  if (status !== 200 || !body || init.method === "POST") return answer;
  const retry = new TextEncoder().encode("retry: 100\n\n");
  const start = (controller) => controller.enqueue(retry);
  return { body: body.pipeThrough(new TransformStream({ start })), headers, redirected, status, url };
}

/** An `EventSource` with it. */
export const source = (url) => new EventSource(url, { fetch: impatient });
