import { existsSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { cdiFileName } from "../cdi/spec.ts";
import { LOCK } from "@dracpu/shared-proto/socket/lock.ts";
import type { OwnFiles } from "../uninstall/ports.ts";

export interface Places {
  readonly cdiDir: string;
  readonly kubeletRootDir: string;
  readonly driver: string;
  /** Directories of the state of driver and agent, and of the socket for people. */
  readonly own: readonly string[];
}

/** Claims' CDI specs, sockets in the kubelet's directories, and what is in this product's own directories. */
export class NodeFiles implements OwnFiles {
  readonly #at: Places;

  constructor(at: Places) {
    this.#at = at;
  }

  /**
   * A directory that is a mount point of this container stays, and so do the locks: driver and agent of the clean-up hold them, so that those of another installation
   * wait, and take them away when they end.
   */
  async remove(): Promise<readonly string[]> {
    const { cdiDir, kubeletRootDir, driver, own } = this.#at;
    const [head = "", tail = ""] = cdiFileName("|").split("|");
    const isSpec = (name: string): boolean => name.startsWith(head) && name.endsWith(tail);
    const registration = `${driver}-reg.sock`;
    const paths = [
      ...(await below(cdiDir, isSpec)),
      ...(await below(join(kubeletRootDir, "plugins_registry"), (name) => name === registration)),
      ...(
        await Promise.all(
          [join(kubeletRootDir, "plugins", driver), ...own].map((dir) => below(dir, (name) => name !== LOCK)),
        )
      ).flat(),
    ];
    for (const path of paths) await rm(path, { recursive: true, force: true });
    for (const dir of own) {
      await rmdir(dir).catch(() => {
        // Mounted, or not there.
      });
    }
    return paths;
  }
}

async function below(dir: string, wanted: (name: string) => boolean = () => true): Promise<string[]> {
  if (!existsSync(dir)) return [];
  return (await readdir(dir)).filter(wanted).map((name) => join(dir, name));
}
