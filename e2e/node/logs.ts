import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Fields that log lines may have, by what they are of; the one vocabulary of both programs. */
const VOCABULARY = [
  ...["level", "time", "program", "msg", "code", "cause", "why", "what", "reason"],
  ...["version", "node", "pid", "configuration", "afterMs", "file", "directory", "path", "socket", "holder", "lines"],
  ...["claim", "claimUID", "claims", "operation", "wishes", "because", "consumers", "cpus", "had", "has", "seconds"],
  ...["pod", "podUID", "container", "containerID", "containers", "source"],
  ...["session", "runtime", "nri", "method", "result", "epoch", "revision", "instance", "control", "inspect"],
  ...["lever", "masks", "cgroup", "devices", "slices", "generation", "mode", "keepShared", "kubelet", "rebooted"],
  ...["status", "after", "online", "offline", "now"],
];

interface Line {
  readonly level?: string;
  readonly time?: string;
  readonly program?: string;
  readonly msg?: string;
  readonly operation?: string;
}

/** What both programs wrote during a run of the suite, life by life. */
export class Logs {
  lives = 0;
  lines = 0;
  readonly broken: string[] = [];
  readonly unknownFields = new Set<string>();
  readonly unended: string[] = [];
  readonly operations = new Set<string>();
  readonly ofAgent = new Set<string>();

  constructor(nodeDir: string) {
    const names = readdirSync(join(nodeDir, "log")).filter((name) => /^(driver|agent)-\d+\.log$/.test(name));
    for (const name of names) this.#read(name, readFileSync(join(nodeDir, "log", name), "utf8"));
  }

  #read(name: string, text: string): void {
    this.lives += 1;
    const begun = new Map<string, string>();
    let isEndedInOrder = false;
    const lines = text.split("\n").filter((line) => line !== "");
    for (const [n, raw] of lines.entries()) {
      this.lines += 1;
      let line: Line;
      try {
        line = JSON.parse(raw) as Line;
      } catch {
        // The last line of a life that was killed may be cut.
        if (n < lines.length - 1) this.broken.push(`${name}: ${raw}`);
        continue;
      }
      const { level, time, program, msg = "", operation } = line;
      if ([level, time, program, msg].some((one) => typeof one !== "string")) this.broken.push(`${name}: ${raw}`);
      for (const field of Object.keys(line))
        if (!VOCABULARY.includes(field)) this.unknownFields.add(`${field}: ${msg}`);
      if (msg.startsWith("stopping on")) isEndedInOrder = true;
      if (operation === undefined) continue;
      if (name.startsWith("agent")) {
        for (const id of operation.split(",")) this.ofAgent.add(id);
        continue;
      }
      this.operations.add(operation);
      if (msg.startsWith("begin: ")) begun.set(`${msg.slice(7)} ${operation}`, raw);
      if (msg.startsWith("end: ")) begun.delete(`${msg.slice(5)} ${operation}`);
    }
    if (isEndedInOrder) this.unended.push(...[...begun.values()].map((raw) => `${name}: ${raw}`));
  }
}
