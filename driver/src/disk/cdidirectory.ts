import { mkdir, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { diskFault, readBounded, removeWhole, temporaryOf, writeWhole } from "@dracpu/shared-proto/disk/whole.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { cdiFileName, cdiSpec, readCdi, type CdiReading } from "../cdi/spec.ts";
import type { MetadataDirectory } from "./metadatadirectory.ts";
import type { CdiMemory, CdiPort } from "../prepare/ports.ts";
import { Turns } from "./turns.ts";

const MAX_BYTES = 1 << 20;

/**
 * The runtime's CDI directory. It takes notice of renames inside the directory, which is how files get their name here. A claim's removal comes after a write of it that
 * hung, so that one that ends late leaves no file.
 */
export class CdiDirectory implements CdiPort {
  readonly #path: string;
  readonly #metadata: MetadataDirectory | undefined;
  readonly #turns: Turns;

  /** @param waitMs after which something that is not done yet has failed. */
  constructor(path: string, metadata?: MetadataDirectory, waitMs?: number) {
    this.#path = path;
    this.#metadata = metadata;
    this.#turns = new Turns(metadata === undefined ? path : `${path} or of ${metadata.root}`, waitMs);
  }

  /** What it mounts is there before it. @throws DiskFault */
  write(allocation: AllocationRecord): Promise<void> {
    const path = join(this.#path, cdiFileName(allocation.claim.uid));
    return this.#turns.run(allocation.claim.uid, `write ${path}`, async () => {
      try {
        await mkdir(this.#path, { recursive: true, mode: 0o755 });
      } catch (cause) {
        throw diskFault("make the CDI directory", this.#path, cause);
      }
      await this.#metadata?.write(allocation);
      await writeWhole(path, cdiSpec(allocation, this.#metadata?.root), 0o644);
    });
  }

  /** @throws DiskFault */
  remove(claimUid: string): Promise<void> {
    const path = join(this.#path, cdiFileName(claimUid));
    return this.#turns.run(claimUid, `remove ${path}`, async () => {
      const names = await this.#names();
      if (names.includes(basename(path)) || names.includes(basename(temporaryOf(path)))) await removeWhole(path);
      await this.#metadata?.remove(claimUid);
    });
  }

  /** uids of the claims that have all their files. @throws DiskFault */
  async list(): Promise<string[]> {
    const uids = await this.named();
    const metadata = this.#metadata;
    const whole = metadata && (await this.#turns.run("", `list ${metadata.root}`, () => metadata.list()));
    return whole === undefined ? uids : uids.filter((uid) => whole.has(uid));
  }

  /** uids of the claims that have a CDI spec, whatever is in it. @throws DiskFault */
  async named(): Promise<string[]> {
    const [head = "", tail = ""] = cdiFileName("\n").split("\n");
    return (await this.#turns.run("", `list ${this.#path}`, () => this.#names()))
      .filter((name) => name.startsWith(head) && name.endsWith(tail) && name.length > head.length + tail.length)
      .map((name) => name.slice(head.length, name.length - tail.length));
  }

  /** Claims as their files remember them; files that cannot be read are skipped and named. @throws DiskFault where it cannot be listed. */
  async remembered(): Promise<CdiMemory> {
    const allocations: AllocationRecord[] = [];
    const bare: { uid: string; cpus: CpuSet }[] = [];
    const unreadable: { file: string; why: string }[] = [];
    for (const uid of await this.named()) {
      const file = cdiFileName(uid);
      const path = join(this.#path, file);
      const reading = await this.#turns.run(uid, `read ${path}`, () => this.#read(uid, path));
      if (reading.kind === "ours") allocations.push(reading.allocation);
      else if (reading.kind === "bare") bare.push({ uid, cpus: reading.cpus });
      else unreadable.push({ file, why: reading.why });
    }
    return { allocations, bare, unreadable };
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#path);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw diskFault("list", this.#path, cause);
    }
  }

  async #read(uid: string, path: string): Promise<CdiReading> {
    try {
      return readCdi(uid, (await readBounded(path, MAX_BYTES)) ?? "");
    } catch (cause) {
      return { kind: "unreadable", why: (cause as Error).message };
    }
  }
}
