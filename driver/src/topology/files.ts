import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/** Told of what is there and cannot be read: why, such as `EACCES`. What is not there is no fault. */
export type OnFault = (errno: string) => void;

/** The files of a machine. Paths are absolute, as in `/sys/devices/system/cpu/online`; beside `/sys`, only `/proc/cpuinfo` is asked for. */
export interface SysfsTree {
  /** Content; `undefined` where there is no such file or it cannot be read. */
  read(path: string, onFault?: OnFault): string | undefined;
  /** Names in a directory; empty where there is none or it cannot be read. */
  list(path: string, onFault?: OnFault): readonly string[];
  /** Where the file lies, for people: a tree's `/sys` may be anywhere. */
  whereIs(path: string): string;
}

export const CPU = "/sys/devices/system/cpu";
export const ONLINE = `${CPU}/online`;
export const NODE = "/sys/devices/system/node";
export const CPUINFO = "/proc/cpuinfo";

/** Ids above are no ids: the kernel's are ints. */
const MAX_ID = 2 ** 31 - 1;

/** What is missing or cannot be understood: one sentence for each cause, whatever the number of CPUs. */
export class Doubts {
  readonly #missing = new Map<string, number[]>();
  readonly #garbled = new Map<string, number[]>();
  readonly #sentences: string[] = [];

  missing(what: string, cpu: number): void {
    push(this.#missing, what, cpu);
  }

  /** @param what file below the CPU's directory, and what is wrong with it. */
  garbled(what: string, cpu: number): void {
    push(this.#garbled, what, cpu);
  }

  say(sentence: string): void {
    if (!this.#sentences.includes(sentence)) this.#sentences.push(sentence);
  }

  sentences(): string[] {
    return [
      ...[...this.#missing].map(([what, ids]) => `the kernel tells no ${what} of CPUs ${CpuSet.from(ids).toString()}`),
      ...[...this.#garbled].map(([what, ids]) => `CPUs ${CpuSet.from(ids).toString()}: ${what}`),
      ...this.#sentences,
    ];
  }
}

/** Reads what the files hold; what it cannot understand is told and taken as absent. Equal lists are one object. */
export class Reader {
  readonly tree: SysfsTree;
  readonly doubts = new Doubts();
  readonly #lists = new Map<string, CpuSet | undefined>();
  readonly #sets = new Map<bigint, CpuSet>();

  constructor(tree: SysfsTree) {
    this.tree = tree;
  }

  /** A number in a file of a CPU's directory. The kernel's -1 is `undefined`, without a doubt. */
  number(cpu: number, file: string): number | undefined {
    const text = this.textOf(cpu, file)?.trim();
    if (text === undefined || text === "-1") return undefined;
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value <= MAX_ID) return value;
    this.doubts.garbled(`${file} holds no id`, cpu);
    return undefined;
  }

  /** A list in a file of a CPU's directory. */
  listOf(cpu: number, file: string): CpuSet | undefined {
    const text = this.textOf(cpu, file);
    if (text === undefined) return undefined;
    const set = this.#parse(text);
    if (set === undefined) this.doubts.garbled(`${file} holds no list of CPUs`, cpu);
    return set;
  }

  /** What a file of a CPU's directory holds. */
  textOf(cpu: number, file: string): string | undefined {
    return this.tree.read(`${CPU}/cpu${cpu}/${file}`, (errno) =>
      this.doubts.garbled(`${file} cannot be read (${errno})`, cpu),
    );
  }

  text(path: string): string | undefined {
    return this.tree.read(path, (errno) => this.#unread(path, errno));
  }

  list(path: string): CpuSet | undefined {
    const text = this.text(path);
    if (text === undefined) return undefined;
    const set = this.#parse(text);
    if (set === undefined)
      this.doubts.say(`${this.tree.whereIs(path)} holds no list of CPUs: ${JSON.stringify(text.trim().slice(0, 40))}`);
    return set;
  }

  /** Ids of entries such as `node3`, ascending. */
  ids(path: string, prefix: string): number[] {
    return idsIn(
      this.tree.list(path, (errno) => this.#unread(path, errno)),
      prefix,
    );
  }

  /** The same of a CPU's directory, or of one below it. */
  idsOf(cpu: number, below: "" | "/cache", prefix: string): number[] {
    const names = this.tree.list(`${CPU}/cpu${cpu}${below}`, (errno) =>
      this.doubts.garbled(`${this.tree.whereIs(CPU)}/cpuN${below} cannot be read (${errno})`, cpu),
    );
    return idsIn(names, prefix);
  }

  /** The one object for this set. */
  same(set: CpuSet): CpuSet {
    const known = this.#sets.get(set.key);
    if (known === undefined) this.#sets.set(set.key, set);
    return known ?? set;
  }

  #unread(path: string, errno: string): void {
    this.doubts.say(`${this.tree.whereIs(path)} cannot be read (${errno})`);
  }

  #parse(text: string): CpuSet | undefined {
    if (this.#lists.has(text)) return this.#lists.get(text);
    let set: CpuSet | undefined;
    try {
      // nohz_full prints "(null)" where it is not in use.
      set = this.same(text.trim() === "(null)" ? CpuSet.empty : CpuSet.parse(text));
    } catch {
      set = undefined;
    }
    this.#lists.set(text, set);
    return set;
  }
}

function idsIn(names: readonly string[], prefix: string): number[] {
  const found: number[] = [];
  for (const name of names) {
    const digits = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    if (/^\d{1,9}$/.test(digits)) found.push(Number(digits));
  }
  return found.sort((a, b) => a - b);
}

/** What `/proc/cpuinfo` tells of a CPU; x86 tells all of it, most others the number alone. */
export interface CpuinfoEntry {
  readonly socket: number | undefined;
  readonly coreId: number | undefined;
}

/** Online CPUs by id. */
export function readCpuinfo(reader: Reader): ReadonlyMap<number, CpuinfoEntry> {
  const found = new Map<number, CpuinfoEntry>();
  let cpu: number | undefined;
  for (const line of (reader.text(CPUINFO) ?? "").split("\n")) {
    const m = CPUINFO_LINE.exec(line);
    if (m === null) continue;
    const value = Number(m[2]);
    if (m[1] === "processor") found.set((cpu = value), { socket: undefined, coreId: undefined });
    else if (cpu !== undefined) {
      const entry = found.get(cpu) ?? { socket: undefined, coreId: undefined };
      found.set(cpu, m[1] === "core id" ? { ...entry, coreId: value } : { ...entry, socket: value });
    }
  }
  return found;
}

/** The lines of `/proc/cpuinfo` that count. */
export const CPUINFO_LINE = /^(processor|physical id|core id)\s*:\s*(\d{1,5})\s*$/;

export function push<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
