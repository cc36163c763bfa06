import { mkdir, readdir, rm } from "node:fs/promises";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { diskFault, writeWhole } from "@dracpu/shared-proto/disk/whole.ts";
import { metadataDir, metadataFile, metadataText, requestsOf } from "../cdi/metadata.ts";
import type { Attribute } from "../slices/device.ts";

/** Files that containers of a claim read: the attributes of their devices, and their CPUs. A claim's directory is there even where it has no file. */
export class MetadataDirectory {
  readonly root: string;
  readonly #attributes: (device: string) => Readonly<Record<string, Attribute>>;

  /** @param root on the node, at the path that the runtime sees. */
  constructor(root: string, attributes: (device: string) => Readonly<Record<string, Attribute>>) {
    this.root = root;
    this.#attributes = attributes;
  }

  /** Not durable: after a power cut the kubelet prepares the claim again. @throws DiskFault */
  async write(allocation: AllocationRecord): Promise<void> {
    const { uid } = allocation.claim;
    const dir = metadataDir(this.root, uid);
    try {
      await mkdir(dir, { recursive: true, mode: 0o755 });
    } catch (cause) {
      throw diskFault("make the directory of device metadata", dir, cause);
    }
    for (const request of requestsOf(allocation))
      await writeWhole(
        metadataFile(this.root, uid, request),
        metadataText(allocation, request, this.#attributes),
        0o644,
        "whole",
      );
  }

  /** @throws DiskFault */
  async remove(claimUid: string): Promise<void> {
    const dir = metadataDir(this.root, claimUid);
    try {
      await rm(dir, { recursive: true, force: true });
    } catch (cause) {
      throw diskFault("remove the device metadata", dir, cause);
    }
  }

  /** uids of the claims that have a directory. @throws DiskFault */
  async list(): Promise<ReadonlySet<string>> {
    try {
      return new Set(await readdir(this.root));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return new Set();
      throw diskFault("list", this.root, cause);
    }
  }
}
