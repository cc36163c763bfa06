import { readFileSync } from "node:fs";
import type { SysfsTree } from "../topology/read.ts";
import { OverlayFault, SysfsOverlay } from "./overlay.ts";
import { SysfsDirectory } from "./tree.ts";

/**
 * The machine that the settings name: this one, a copy of another's sysfs, with a text overlay or without.
 *
 * @param alone the overlay is the whole machine.
 * @throws OverlayFault
 */
export function sysfsOf(
  settings: { readonly sysfsRoot: string; readonly sysfsOverlay: string },
  alone = false,
): SysfsTree {
  const base = alone ? undefined : new SysfsDirectory(settings.sysfsRoot);
  return settings.sysfsOverlay === ""
    ? new SysfsDirectory(settings.sysfsRoot)
    : SysfsOverlay.parse(overlayAt(settings.sysfsOverlay), base);
}

function overlayAt(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new OverlayFault(`Cannot read the sysfs overlay ${path} (--sysfs-overlay): ${(cause as Error).message}`, {
      cause,
    });
  }
}
