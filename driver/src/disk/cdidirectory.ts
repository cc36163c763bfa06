import { mkdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { diskFault, readBounded, removeWhole, writeWhole } from "@dracpu/shared-proto/disk/whole.ts";
import { allocationFromCdi, cdiFileName, cdiSpec } from "../cdi/spec.ts";

const MAX_BYTES = 1 << 20;

/** The runtime's CDI directory. It takes notice of renames inside the directory, which is how files get their name here. */
export class CdiDirectory {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws DiskFault */
  write(allocation: AllocationRecord): Promise<void> {
    try {
      mkdirSync(this.#path, { recursive: true, mode: 0o755 });
    } catch (cause) {
      return Promise.reject(diskFault("make the CDI directory", this.#path, cause));
    }
    return writeWhole(join(this.#path, cdiFileName(allocation.claim.uid)), cdiSpec(allocation), 0o644);
  }

  /** @throws DiskFault */
  async remove(claimUid: string): Promise<void> {
    if ((await this.list()).includes(claimUid)) await removeWhole(join(this.#path, cdiFileName(claimUid)));
  }

  /** uids of the claims that have a file here. @throws DiskFault */
  async list(): Promise<string[]> {
    const [head = "", tail = ""] = cdiFileName("\n").split("\n");
    let names: string[];
    try {
      names = await readdir(this.#path);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw diskFault("list", this.#path, cause);
    }
    return names
      .filter((name) => name.startsWith(head) && name.endsWith(tail) && name.length > head.length + tail.length)
      .map((name) => name.slice(head.length, name.length - tail.length));
  }

  /** Claims as their files remember them; files that cannot be read are skipped and named. */
  async remembered(): Promise<{ allocations: AllocationRecord[]; unreadable: string[] }> {
    const allocations: AllocationRecord[] = [];
    const unreadable: string[] = [];
    for (const uid of await this.list()) {
      const text = await readBounded(join(this.#path, cdiFileName(uid)), MAX_BYTES);
      const allocation = text === undefined ? undefined : allocationFromCdi(text);
      if (allocation === undefined) unreadable.push(cdiFileName(uid));
      else allocations.push(allocation);
    }
    return { allocations, unreadable };
  }
}
