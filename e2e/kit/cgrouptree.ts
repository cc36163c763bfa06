import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Container } from "@dracpu/shared-proto/gen/nri/api_pb.ts";

/** A directory that looks like cgroup v1's cpuset controller to whoever reads it; no kernel stands behind it, so nothing follows a write. */
export class CgroupTree {
  readonly root: string;
  readonly #online: string;

  constructor(root: string, online: string) {
    this.root = root;
    this.#online = online;
    this.#make("/");
  }

  /** Cgroups of these containers, with a process each. */
  add(containers: readonly Container[]): void {
    for (const container of containers) this.#make(container.linux?.cgroupsPath ?? "/");
  }

  #make(path: string): void {
    if (path !== "/" && dirname(path) !== "/") this.#make(dirname(path));
    const dir = join(this.root, "cpuset", path);
    mkdirSync(dir, { recursive: true });
    for (const file of ["cpuset.cpus", "cpuset.effective_cpus"]) writeFileSync(join(dir, file), `${this.#online}\n`);
    writeFileSync(join(dir, "cgroup.procs"), "1\n");
  }
}
