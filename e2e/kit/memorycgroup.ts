import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { CgroupFault, type CgroupPort, type CgroupReading } from "@dracpu/nri-agent/enforce/ports.ts";

interface Group {
  cpus: CpuSet;
  populated: boolean;
}

/** Cgroups in memory, without the kernel's rules: for the order of decisions, never for what a kernel accepts. */
export class MemoryCgroup implements CgroupPort {
  readonly version = 2;
  readonly groups = new Map<string, Group>();
  /** Writes of a mask, as `path=cpus`, in order. */
  readonly writes: string[] = [];
  /** Masks of this cgroup cannot be written. */
  stuck = "";
  readonly exclusive = new Map<string, CpuSet>();
  readonly partitions = new Map<string, string>();
  /** Why no partition is valid; empty where all are. */
  invalid = "";

  add(path: string, cpus: string): void {
    this.groups.set(path, { cpus: CpuSet.parse(cpus), populated: true });
  }

  cpusOf(path: string): string | undefined {
    return this.groups.get(path)?.cpus.toString();
  }

  read(path: string): CgroupReading | undefined {
    const found = this.groups.get(path);
    return found === undefined ? undefined : { own: found.cpus, effective: found.cpus };
  }

  write(path: string, cpus: CpuSet): void {
    const found = this.groups.get(path);
    if (found === undefined) throw new CgroupFault("gone", `${path} is gone`);
    if (path === this.stuck) throw new CgroupFault("denied", `Cannot write ${path}: EACCES`);
    found.cpus = cpus;
    this.writes.push(`${path}=${cpus.toString()}`);
  }

  populated(path: string): boolean {
    return this.groups.get(path)?.populated === true;
  }

  children(): readonly string[] {
    return [];
  }

  readExclusive(path: string): CpuSet | undefined {
    return this.exclusive.get(path);
  }

  writeExclusive(path: string, cpus: CpuSet): void {
    this.exclusive.set(path, cpus);
  }

  readPartition(path: string): string | undefined {
    const type = this.partitions.get(path);
    return this.invalid === "" || type === undefined || type === "member" ? type : `${type} invalid (${this.invalid})`;
  }

  writePartition(path: string, type: string): void {
    this.partitions.set(path, type);
  }

  watchPartition(): undefined {
    return undefined;
  }
}
