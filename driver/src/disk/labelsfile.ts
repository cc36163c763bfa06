import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readBounded, writeWhole } from "@dracpu/shared-proto/disk/whole.ts";

const MAX_BYTES = 1 << 20;
type Labels = Readonly<Record<string, string>>;

/** The node's labels as they were last seen, for a start while the API server is away. */
export class LabelsFile {
  readonly path: string;

  constructor(stateDir: string) {
    this.path = join(stateDir, "node-labels.json");
  }

  /** @returns `undefined` where there is none that can be read. */
  async load(): Promise<Labels | undefined> {
    try {
      const text = await readBounded(this.path, MAX_BYTES);
      return text === undefined ? undefined : (JSON.parse(text) as Labels);
    } catch {
      // As good as none: the API server is asked until it answers.
      return undefined;
    }
  }

  /** For who looks from outside of the driver: none where there is no file. */
  lastSeen(): Labels {
    try {
      return JSON.parse(readFileSync(this.path, "utf8")) as Labels;
    } catch {
      return {};
    }
  }

  /** @throws DiskFault */
  save(labels: Labels): Promise<void> {
    return writeWhole(this.path, `${JSON.stringify(labels)}\n`);
  }
}
