import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { writeWhole } from "./whole.ts";

const MAX_BYTES = 1 << 20;
/** Of a node; `null`: it does not carry that one. */
export type KnownLabels = Readonly<Record<string, string | null>>;

/** The node's labels as they were last seen: for a start while the API server is away, and for who may not ask it. */
export class LabelsFile {
  readonly path: string;

  constructor(dir: string) {
    this.path = join(dir, "node-labels.json");
  }

  /** @returns `undefined` where there is no file that can be read. */
  lastSeen(): KnownLabels | undefined {
    try {
      if (statSync(this.path).size > MAX_BYTES) return undefined;
      const found: unknown = JSON.parse(readFileSync(this.path, "utf8"));
      return typeof found === "object" && found !== null ? (found as KnownLabels) : undefined;
    } catch {
      return undefined;
    }
  }

  /** @throws DiskFault */
  save(labels: KnownLabels): Promise<void> {
    return writeWhole(this.path, `${JSON.stringify(labels)}\n`);
  }
}
