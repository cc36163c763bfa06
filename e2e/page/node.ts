import type { Picture } from "@dracpu/driver/picture/picture.ts";
import type { PageSources } from "@dracpu/driver/page/sources.ts";
import type { Entry, Numbered } from "@dracpu/driver/picture/timeline.ts";
import { readMachine } from "@dracpu/driver/topology/read.ts";
import { SysfsOverlay } from "@dracpu/driver/sysfs/tree.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Sitters } from "@dracpu/driver/picture/paint.ts";
import type { Entry as Held } from "@dracpu/driver/ledger/ledger.ts";
import { agentOf, held, picture, running } from "../../driver/test/picture/sitters.ts";
import { machineNamed } from "../demo/machines.ts";

/** A node that is all right: a few claims on a machine of e2e/machines, and what shares the rest. */
export function busy(
  machineName: string,
  claims: readonly (readonly [string, string])[],
  more: { readonly outside?: string; readonly sitters?: Partial<Sitters> } = {},
): Picture {
  const machine = readMachine(SysfsOverlay.parse(machineNamed(machineName).text, undefined));
  const entries: Held[] = claims.map(([name, cpus]) => held(name, cpus));
  const taken = CpuSet.union(claims.map(([, cpus]) => CpuSet.parse(cpus)));
  const shared = machine.online.minus(taken).toString();
  const agent = agentOf(entries, [
    ...claims.map(([name, cpus]) => running(`pod-${name}`, cpus, name)),
    running("coredns", shared),
    running("web", shared, "", more.outside ?? shared),
    running("log-shipper", shared),
  ]);
  agent.runtime = { $typeName: "dracpu.agent.v1.Runtime", name: "containerd", version: "2.4.2" };
  return { ...picture({ machine, claims: entries, agent, node: "node-1", ...more.sitters }), asOfMs: Date.now() };
}

/** What a test puts before the page. */
export class Board implements PageSources {
  shown: Picture;
  readonly #entries: Numbered[] = [];
  readonly #listeners = new Set<() => void>();

  constructor(shown: Picture) {
    this.shown = shown;
  }

  picture(): Promise<Picture> {
    const now = Date.now();
    return Promise.resolve({ ...this.shown, asOfMs: now, agent: { ...this.shown.agent, asOfMs: now } });
  }

  entries(afterSeq: number): readonly Numbered[] {
    return this.#entries.filter((one) => one.seq > afterSeq);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(entry: Partial<Entry> & Pick<Entry, "kind" | "text">): void {
    this.#entries.push({
      timeMs: Date.now(),
      source: "agent",
      code: "",
      pod: "",
      container: "",
      claim: "",
      cpus: "",
      operation: "",
      ...entry,
      seq: this.#entries.length + 1,
    });
    for (const listener of this.#listeners) listener();
  }
}
