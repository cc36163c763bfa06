import { existsSync } from "node:fs";
import { chromium, type Browser } from "playwright-core";

const PLACES = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"];

/** Debian's Chromium without a window; `CHROMIUM` names another. @throws Error that says how to get it. */
export function openBrowser(): Promise<Browser> {
  const executablePath = process.env["CHROMIUM"] ?? PLACES.find((path) => existsSync(path));
  if (executablePath === undefined)
    throw new Error("There is no Chromium; e2e/build/system.sh installs Debian's, or name one in $CHROMIUM");
  // Root, as in a container, has no sandbox.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}
