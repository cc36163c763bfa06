import { appendFileSync, readdirSync, readFileSync, watch, writeFileSync, type FSWatcher } from "node:fs";
import { setPriority } from "node:os";
import { basename, dirname, join } from "node:path";
import { now, type Seen, type Stranger } from "./observer.ts";

// The observer's process: argv is root, file for what is seen, and "strangers". Ends with its standard input.
const [, , root = "", out = "", mode = ""] = process.argv;
const PERIOD_MS = 25;
/** Later than that, it was kept from looking. */
const STALL_MS = 50;
const TREE_MS = 200;
const FLUSH_MS = 100;

interface Group {
  readonly podUid: string;
  readonly container: string;
  last: number;
  text: string;
  /** Once it was one: while it ends, its pause program goes before its children. */
  isSandbox: boolean;
  /** Processes that run the container's own program; others may still turn into it. */
  readonly known: Map<number, string>;
}

const groups = new Map<string, Group>();
const watched = new Map<string, FSWatcher>();
/** By thread id; what was seen of it last. */
const strangers = new Map<number, { command: string; allowed: string; from: number; to: number }>();
/** Kernel threads that the kernel lets nobody move. */
const unmovable = new Set<number>();
/** linux/sched.h */
const PF_NO_SETAFFINITY = 0x04000000;
let lines: string[] = [];
let looks = 0;
let lastTree = 0;

const tell = (kind: string, fields: object): void => {
  lines.push(JSON.stringify({ kind, ...fields }));
};
const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
};
const effective = (dir: string): string | undefined =>
  read(join(dir, "cpuset.effective_cpus")) ?? read(join(dir, "cpuset.cpus.effective"));
const allowedOf = (pid: number): string =>
  /Cpus_allowed_list:\s*(\S+)/.exec(read(`/proc/${pid}/status`) ?? "")?.[1] ?? "";

/** A process's command line; "" of runc's own, which is not the container's program yet. */
function commandOf(pid: number): string {
  const command = (read(`/proc/${pid}/cmdline`) ?? "").replaceAll("\0", " ").trim();
  return /runc.* init$/.test(command) ? "" : command.slice(0, 200);
}

/** Processes first: whoever is there by then is there when the mask is read. */
function look(dir: string, group: Group): void {
  const allowed = new Set<string>();
  const commands = new Set<string>();
  for (const line of (read(join(dir, "cgroup.procs")) ?? "").split("\n")) {
    if (line === "") continue;
    const pid = Number(line);
    const command = group.known.get(pid) ?? commandOf(pid);
    if (command === "") continue;
    group.known.set(pid, command);
    commands.add(command);
    const list = allowedOf(pid);
    if (list !== "") allowed.add(list);
  }
  group.isSandbox ||= commands.has("/bin/sh /pause");
  const t = now();
  const cpus = effective(dir) ?? "";
  record(group, t, {
    cpus,
    allowed: cpus === "" ? [] : [...allowed].sort(),
    commands: [...commands],
    isSandbox: group.isSandbox,
  });
  if (cpus === "") {
    groups.delete(dir);
    unwatch(dir);
  }
}

function record(group: Group, t: number, found: Pick<Seen, "cpus" | "allowed" | "commands" | "isSandbox">): void {
  const text = JSON.stringify(found);
  if (text !== group.text) {
    const { podUid, container, last } = group;
    tell("seen", { t, last, podUid, container, ...found } satisfies Seen);
    group.text = text;
  }
  group.last = t;
}

function unwatch(dir: string): void {
  watched.get(dir)?.close();
  watched.delete(dir);
}

/** Directories at or above containers are watched for new ones, containers' for writes to their files. */
function walk(dir: string): void {
  let names: string[];
  try {
    if (!watched.has(dir)) {
      const watcher = watch(dir, (_event, name) => changed(dir, name ?? ""));
      watcher.on("error", () => unwatch(dir));
      watched.set(dir, watcher);
    }
    names = readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    unwatch(dir);
    return;
  }
  const podUid = /^pod(.+)$/.exec(basename(dirname(dir)))?.[1];
  if (podUid === undefined) {
    for (const name of names) walk(join(dir, name));
    return;
  }
  if (groups.has(dir)) return;
  const group: Group = { podUid, container: basename(dir), last: now(), text: "", isSandbox: false, known: new Map() };
  groups.set(dir, group);
  look(dir, group);
}

function changed(dir: string, name: string): void {
  const group = groups.get(dir);
  if (group !== undefined) look(dir, group);
  else if (!name.includes(".")) walk(dir);
}

/** Every thread on the machine that is in no pod, and that could be moved. */
function lookAtStrangers(): void {
  const from = now();
  const alive = new Set<number>();
  const pods = `/${basename(root)}/`;
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (Number.isNaN(pid) || unmovable.has(pid)) continue;
    const line = (read(`/proc/${pid}/cmdline`) ?? "").replaceAll("\0", " ").trim();
    if (line === "" && isUnmovable(pid)) continue;
    if ((read(`/proc/${pid}/cgroup`) ?? pods).includes(pods)) continue;
    const command = line === "" ? `[${read(`/proc/${pid}/comm`) ?? ""}]` : line.slice(0, 80);
    for (const thread of namesIn(`/proc/${pid}/task`)) {
      const tid = Number(thread);
      const allowed = allowedOf(tid);
      if (allowed === "") continue;
      alive.add(tid);
      const before = strangers.get(tid);
      if (before?.allowed === allowed && before.command === command) before.to = now();
      else {
        tellStranger(tid);
        strangers.set(tid, { command, allowed, from, to: now() });
      }
    }
  }
  for (const tid of strangers.keys()) if (!alive.has(tid)) tellStranger(tid);
  tell("strangers", { from, to: now() });
}

/** Field 9 of stat, behind the name in parentheses: proc(5). */
function isUnmovable(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`) ?? "";
  const flags = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[6]);
  const is = (flags & PF_NO_SETAFFINITY) !== 0;
  if (is) unmovable.add(pid);
  return is;
}

function tellStranger(tid: number): void {
  const one = strangers.get(tid);
  if (one !== undefined) tell("stranger", { tid, ...one } satisfies Stranger);
  strangers.delete(tid);
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function tick(): void {
  looks += 1;
  for (const [dir, group] of groups) look(dir, group);
  const t = now();
  if (t - lastTree < TREE_MS) return;
  lastTree = t;
  walk(root);
  if (mode === "strangers") lookAtStrangers();
}

function flush(): void {
  tell("tally", { t: now(), looks });
  appendFileSync(out, `${lines.join("\n")}\n`);
  lines = [];
}

try {
  setPriority(-15);
} catch {
  // Where that is not allowed, it stalls more often, and says so.
}
writeFileSync(out, "");
tick();
tell("begin", { t: now() });
flush();
let due = now() + PERIOD_MS;
let before = now();
const next = (): void => {
  const t = now();
  if (t - before > STALL_MS) tell("stall", { from: before + PERIOD_MS, to: t });
  before = t;
  tick();
  due = Math.max(due + PERIOD_MS, now() + 1);
  setTimeout(next, Math.max(1, due - now()));
};
setTimeout(next, PERIOD_MS);
setInterval(flush, FLUSH_MS);
process.stdin.on("end", () => {
  tick();
  for (const tid of strangers.keys()) tellStranger(tid);
  flush();
  process.exit(0);
});
process.stdin.resume();
