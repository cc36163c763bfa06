import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { CPU, push, type OnFault, type SysfsTree } from "./files.ts";

/** Causes in one sentence. */
const MAX_TOLD = 3;
const OF_CPU = `${CPU}/cpu`;

/**
 * Passes a tree on and notes what may be there and was not read: in the midst of a hotplug the kernel fails reads (EIO, ENODEV), and takes files of a CPU away
 * that its directory still lists. What no CPU has is no such file.
 */
export class Wholeness implements SysfsTree {
  readonly #tree: SysfsTree;
  readonly #faults = new Map<string, number[]>();
  readonly #had = new Set<string>();
  readonly #lacking = new Map<string, number[]>();

  readonly #even: boolean;

  /** @param even what one online CPU has, all have. */
  constructor(tree: SysfsTree, even: boolean) {
    this.#tree = tree;
    this.#even = even;
  }

  read(path: string, onFault?: OnFault): string | undefined {
    let isFault = false;
    const text = this.#tree.read(path, (errno) => {
      isFault = true;
      this.#fault(path, errno);
      onFault?.(errno);
    });
    const of = isFault || !this.#even ? undefined : cpuFile(path);
    if (of === undefined) return text;
    if (text === undefined) push(this.#lacking, of.file, of.cpu);
    else this.#had.add(of.file);
    return text;
  }

  list(path: string, onFault?: OnFault): readonly string[] {
    return this.#tree.list(path, (errno) => {
      this.#fault(path, errno);
      onFault?.(errno);
    });
  }

  whereIs(path: string): string {
    return this.#tree.whereIs(path);
  }

  /** What was not read, and why; "" where the reading is whole. */
  missed(): string {
    const causes = [
      ...[...this.#faults].map(([what, ids]) => (ids.length === 0 ? what : `${what} of CPUs ${listed(ids)}`)),
      ...[...this.#lacking]
        .filter(([file]) => this.#had.has(file))
        .map(([file, ids]) => `CPUs ${listed(ids)} have no ${file}, and others have`),
    ];
    const more = causes.length - MAX_TOLD;
    return `${causes.slice(0, MAX_TOLD).join("; ")}${more > 0 ? `; and ${more} more` : ""}`;
  }

  #fault(path: string, errno: string): void {
    const of = cpuFile(path);
    if (of === undefined) this.#faults.set(`${this.whereIs(path)} cannot be read (${errno})`, []);
    else push(this.#faults, `${of.file} cannot be read (${errno})`, of.cpu);
  }
}

function listed(ids: readonly number[]): string {
  return CpuSet.from(ids).toString();
}

function cpuFile(path: string): { readonly cpu: number; readonly file: string } | undefined {
  const slash = path.startsWith(OF_CPU) ? path.indexOf("/", OF_CPU.length) : -1;
  const cpu = slash < 0 ? Number.NaN : Number(path.slice(OF_CPU.length, slash));
  return Number.isInteger(cpu) ? { cpu, file: path.slice(slash + 1) } : undefined;
}
