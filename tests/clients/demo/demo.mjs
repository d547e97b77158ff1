// The demo's page in a real browser: node demo.mjs URL
//
// Presses the button three times, waits for both sides to come back after each, and reads from the page: the right
// column has every number once and in order, the left one has holes, and the words say the same.
//
// CHROMIUM     the browser (default: /usr/bin/chromium)
// SCREENSHOTS  a directory for screenshots (default: none are taken)

import assert from "node:assert/strict";
import path from "node:path";

import { launch } from "../chromium.mjs";

const CUTS = 3;
const PATIENCE = 30_000;

const url = process.argv[2];
assert.ok(url, "usage: node demo.mjs URL");

const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
  const faults = watch(page);
  await page.goto(url);
  await connected(page);
  for (let cut = 1; cut <= CUTS; cut += 1) {
    await press(page, cut);
  }
  const seen = await settled(page);
  check(seen);
  await screenshots(page);
  assert.deepEqual(faults, []);
  console.log(`left:  ${seen.direct.words}\nright: ${seen.respool.words}`);
} finally {
  await browser.close();
}

/** What must not happen: errors but failed loads, refusals by the policy, requests to elsewhere. */
function watch(page) {
  const faults = [];
  const host = new URL(url).hostname;
  page.on("console", (message) => {
    const load = message.text().startsWith("Failed to load resource: net::ERR_");
    if (["error", "warning"].includes(message.type()) && !load) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    if (new URL(request.url()).hostname !== host) faults.push(`request to ${request.url()}`);
  });
  return faults;
}

async function connected(page) {
  await page.waitForFunction(() => document.querySelectorAll("section.open").length === 2, null, {
    timeout: PATIENCE,
  });
}

/** Cuts the network by the keyboard, and waits until both sides have lost their connection and got new numbers. */
async function press(page, cut) {
  let answer;
  do {
    // It cuts by itself too, and a network that is cut cannot be cut.
    await connected(page);
    const answered = page.waitForResponse((response) => response.url().endsWith("/cut"));
    await page.focus("#cut");
    await page.keyboard.press("Enter");
    answer = await (await answered).text();
  } while (answer !== "cut\n");
  const before = await page.evaluate(read);
  await page.waitForFunction(() => document.querySelectorAll("section.open").length === 0, null, {
    timeout: PATIENCE,
    polling: 20,
  });
  if (cut === CUTS) await screenshot(page, "cut");
  await connected(page);
  const last = Math.max(...before.direct.numbers, ...before.respool.numbers);
  await page.waitForFunction(
    (past) =>
      ["direct", "respool"].every((id) => {
        const item = document.querySelector(`#${id} li:last-child`);
        return item && Number(item.dataset.n) > past;
      }),
    last + 30,
    { timeout: PATIENCE },
  );
  console.log(`cut ${cut}: both are back`);
}

/** What the page shows once the right side has got past the last hole of the left one. */
async function settled(page) {
  const until = Date.now() + PATIENCE;
  for (;;) {
    const seen = await page.evaluate(read);
    if (seen.direct.missing.at(-1) < seen.respool.numbers.at(-1)) return seen;
    assert.ok(Date.now() < until, "the right side does not catch up");
    await page.waitForTimeout(50);
  }
}

/** What the page shows; runs in the page. */
function read() {
  const column = (id) => {
    const items = [...document.querySelectorAll(`#${id} li`)];
    const of = (...kinds) =>
      items.filter((item) => kinds.includes(item.className)).map((item) => Number(item.dataset.n));
    return {
      numbers: of("got", "kept", "repeated"),
      missing: of("missing"),
      repeated: of("repeated"),
      kept: of("kept"),
      words: document.querySelector(`#${id} .words`).textContent.replaceAll("\u00a0", " "),
    };
  };
  return { direct: column("direct"), respool: column("respool") };
}

function check({ direct, respool }) {
  const numbers = respool.numbers;
  assert.ok(numbers.length > CUTS * 12, `only ${numbers.length} numbers on the right`);
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => numbers[0] + index),
    "the right side has every number once and in order",
  );
  assert.deepEqual([respool.missing, respool.repeated], [[], []]);
  assert.equal(respool.words, `${numbers.length} received, 0 missing, 0 repeated`);

  // Worked out once more, from what was received alone.
  const received = new Set(direct.numbers);
  const holes = [];
  for (let n = direct.numbers[0]; n < direct.numbers.at(-1); n += 1) {
    if (!received.has(n)) holes.push(n);
  }
  assert.ok(holes.length >= CUTS * 5, `only ${holes.length} are missing on the left`);
  assert.deepEqual(direct.missing, holes, "each hole is marked, and nothing else");
  assert.equal(direct.words, `${direct.numbers.length} received, ${holes.length} missing, 0 repeated`);
  assert.deepEqual(respool.kept, holes, "what the left side misses is marked on the right");
}

async function screenshot(page, name, options = {}) {
  const directory = process.env.SCREENSHOTS;
  if (directory) await page.screenshot({ path: path.join(directory, `${name}.png`), ...options });
}

async function screenshots(page) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await screenshot(page, colorScheme);
  }
  await page.setViewportSize({ width: 390, height: 844 });
  await screenshot(page, "phone-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await screenshot(page, "phone-top");
  await screenshot(page, "phone", { fullPage: true });
}
