import { createHash } from "node:crypto";
import { join } from "node:path";
import { keepAside, readBounded, writeWhole } from "@dracpu/shared-proto/disk/whole.ts";
import { parseMemory, printMemory, type Memory } from "../ledger/checkpoint.ts";

const MAX_BYTES = 32 << 20;

export type Loaded =
  | { readonly kind: "memory"; readonly memory: Memory }
  | { readonly kind: "none" }
  | { readonly kind: "damaged"; readonly aside: string; readonly why: string };

/**
 * `checkpoint.json` in the state directory: a line with the SHA-256 of the rest, then the rest. The sum is over bytes, so that members
 * a later version adds survive being read and written by nobody else.
 */
export class CheckpointFile {
  readonly path: string;

  constructor(stateDir: string) {
    this.path = join(stateDir, "checkpoint.json");
  }

  /** @throws DiskFault; the old content is kept then. */
  save(memory: Memory): Promise<void> {
    const body = printMemory(memory);
    return writeWhole(this.path, `${sum(body)}\n${body}\n`);
  }

  /** @throws DiskFault where the file is there and cannot be read. */
  async load(): Promise<Loaded> {
    const looked = await this.look();
    return looked.kind === "damaged" ? { ...looked, aside: await keepAside(this.path) } : looked;
  }

  /** As it is, for whoever does not own it: nothing is moved. */
  async look(): Promise<Exclude<Loaded, { kind: "damaged" }> | { readonly kind: "damaged"; readonly why: string }> {
    const text = await readBounded(this.path, MAX_BYTES);
    if (text === undefined) return { kind: "none" };
    try {
      const end = text.indexOf("\n");
      const body = text.slice(end + 1).replace(/\n$/, "");
      if (end < 0 || text.slice(0, end) !== sum(body))
        throw new Error("its checksum does not fit its content: it was cut or changed");
      return { kind: "memory", memory: parseMemory(body) };
    } catch (cause) {
      return { kind: "damaged", why: (cause as Error).message };
    }
  }
}

function sum(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}
