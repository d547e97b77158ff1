// The status page of a respool, open in a browser, with all that it must never do written down.

import { join } from "node:path";

import { eventually } from "./world.mjs";

/** Opens a tab for the page; `faults` is what it complains of, and what it asks elsewhere. */
export async function openTab(browser, url, faults) {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, reducedMotion: "reduce" });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("dialog", (dialog) => faults.push(`a dialog: ${dialog.message()}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) faults.push(`request to ${request.url()}`);
  });
  await page.exposeFunction("violated", (what) => faults.push(`the policy forbids ${what}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => window.violated(event.violatedDirective));
    // The status that is shown, for whoever compares it with what is drawn in the same turn.
    const Own = window.EventSource;
    window.EventSource = class extends Own {
      constructor(...all) {
        super(...all);
        this.addEventListener("message", ({ data }) => (window.sent = JSON.parse(data)));
      }
    };
  });
  return page;
}

export const soon = (is, what) => eventually(is, what, 15);

export async function screenshot(page, name, options = {}) {
  const directory = process.env.SCREENSHOTS;
  if (directory) await page.screenshot({ path: join(directory, `${name}.png`), ...options });
}

/** The same at a desk and on a phone, light and dark. */
export async function screenshots(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const [width, height] of [[1200, 900], [360, 740]]) {
      await page.setViewportSize({ width, height });
      await page.evaluate(() => window.scrollTo(0, 0));
      await screenshot(page, `${name}-${colorScheme}-${width}`, { fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await page.setViewportSize({ width: 1200, height: 900 });
}
