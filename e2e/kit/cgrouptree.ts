import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Container } from "@dracpu/shared-proto/gen/nri/api_pb.ts";

/** A directory that looks like cgroup v1's cpuset controller to whoever reads it: what is written is in effect, for no kernel stands behind it. */
export class CgroupTree {
  readonly root: string;
  readonly #online: string;
  readonly #paths = new Map<string, string>();

  constructor(root: string, online: string) {
    this.root = root;
    this.#online = online;
    this.#make("/");
  }

  /** Cgroups of these containers, with a process each. */
  add(containers: readonly Container[]): void {
    for (const { id, linux } of containers) {
      const path = linux?.cgroupsPath ?? "/";
      this.#paths.set(id, path);
      this.#make(path);
    }
  }

  /** Gives a container's cgroup a mask; one that was not added has none. */
  set(containerId: string, cpus: string): void {
    const path = this.#paths.get(containerId);
    if (path !== undefined) writeFileSync(join(this.root, "cpuset", path, "cpuset.cpus"), `${cpus}\n`);
  }

  /** The mask that is in effect; `undefined` where there is no such cgroup. */
  get(containerId: string): string | undefined {
    const file = join(this.root, "cpuset", this.#paths.get(containerId) ?? "?", "cpuset.cpus");
    return existsSync(file) ? readFileSync(file, "utf8").trim() : undefined;
  }

  /** The container's process has ended and its cgroup is gone. */
  remove(containerId: string): void {
    const path = this.#paths.get(containerId);
    this.#paths.delete(containerId);
    if (path !== undefined) rmSync(join(this.root, "cpuset", path), { recursive: true, force: true });
  }

  #make(path: string): void {
    if (path !== "/" && dirname(path) !== "/") this.#make(dirname(path));
    const dir = join(this.root, "cpuset", path);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "cpuset.cpus"), `${this.#online}\n`);
    if (!existsSync(join(dir, "cpuset.effective_cpus"))) symlinkSync("cpuset.cpus", join(dir, "cpuset.effective_cpus"));
    writeFileSync(join(dir, "cgroup.procs"), "1\n");
  }
}
