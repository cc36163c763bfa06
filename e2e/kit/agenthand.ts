import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { CgroupPort, CgroupReading } from "@dracpu/nri-agent/enforce/ports.ts";

/**
 * The cgroups as one life of an agent reaches them. A test sees each write before it is done, and can end the life there: what a dead
 * process would still do does not happen.
 */
export class AgentHand implements CgroupPort {
  readonly version = 2;
  readonly #kernel: CgroupPort;
  /** As `file path=value`, in order. */
  readonly writes: string[] = [];
  isDead = false;
  onWrite: (write: string) => void = () => {};
  onRead: () => void = () => {};

  constructor(kernel: CgroupPort) {
    this.#kernel = kernel;
  }

  read(path: string): CgroupReading | undefined {
    this.onRead();
    return this.#kernel.read(path);
  }

  populated(path: string): boolean {
    return this.#kernel.populated(path);
  }

  children(path: string): readonly string[] {
    return this.#kernel.children(path);
  }

  readExclusive(path: string): CpuSet | undefined {
    return this.#kernel.readExclusive(path);
  }

  readPartition(path: string): string | undefined {
    return this.#kernel.readPartition(path);
  }

  write(path: string, cpus: CpuSet): void {
    this.#do(`cpuset.cpus ${path}=${cpus.toString()}`, () => this.#kernel.write(path, cpus));
  }

  writeExclusive(path: string, cpus: CpuSet): void {
    this.#do(`cpuset.cpus.exclusive ${path}=${cpus.toString()}`, () => this.#kernel.writeExclusive(path, cpus));
  }

  writePartition(path: string, type: "root" | "isolated" | "member"): void {
    this.#do(`cpuset.cpus.partition ${path}=${type}`, () => this.#kernel.writePartition(path, type));
  }

  watchPartition(path: string, changed: () => void): (() => void) | undefined {
    return this.#kernel.watchPartition(path, changed);
  }

  #do(write: string, run: () => void): void {
    if (!this.isDead) this.onWrite(write);
    if (this.isDead) return;
    this.writes.push(write);
    run();
  }
}
