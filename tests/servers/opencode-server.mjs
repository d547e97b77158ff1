// The opencode server, as its npm package brings it, with an empty home and a directory to work in.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { eventually, fail, sleep } from "../clients/world.mjs";

// The program itself: it is not made for every machine.
const OPENCODE = new URL("node_modules/opencode-linux-x64/bin/opencode", import.meta.url).pathname;

export class Opencode {
  static async start() {
    const opencode = new Opencode();
    opencode.place = mkdtempSync(join(tmpdir(), "respool-opencode-"));
    const [home, directory] = ["home", "work"].map((name) => join(opencode.place, name));
    [home, directory].forEach((place) => mkdirSync(place));
    opencode.directory = directory;
    const options = ["serve", "--pure", "--hostname", "127.0.0.1", "--port", "0"];
    const env = {
      PATH: process.env.PATH,
      HOME: home,
      SHELL: "/bin/sh",
      OPENCODE_DISABLE_AUTOUPDATE: "1",
      OPENCODE_DISABLE_MODELS_FETCH: "1",
    };
    const stdio = ["ignore", "pipe", "ignore"];
    const child = spawn(OPENCODE, options, { cwd: home, env, stdio, detached: true });
    opencode.child = child;
    opencode.exit = once(child, "exit");
    process.on("exit", () => opencode.stop());
    child.on("exit", () => opencode.place && fail("opencode ended"));
    for await (const line of createInterface({ input: child.stdout })) {
      opencode.url = /listening on (http:\S+)/.exec(line)?.[1];
      if (opencode.url) break;
    }
    child.stdout.resume();
    opencode.port = Number(new URL(opencode.url).port);
    await eventually(() => opencode.#answers(), "answer of opencode", 20);
    return opencode;
  }

  /** Its first answer may not come: it has to be asked again. */
  async #answers() {
    const signal = AbortSignal.timeout(2000);
    const answer = await fetch(`${this.url}/global/health`, { signal }).catch(() => sleep(100));
    return answer?.ok;
  }

  /** Ends it, with all the processes that it has. */
  stop() {
    if (!this.place) return;
    const { place } = this;
    this.place = undefined;
    try {
      process.kill(-this.child.pid, "SIGKILL");
    } catch {}
    rmSync(place, { recursive: true, force: true, maxRetries: 5 });
  }
}
