import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { AgentInspect } from "../inspect/agentinspect.ts";
import { Ring } from "@dracpu/shared-proto/observe/ring.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { PageSources } from "../page/sources.ts";
import { paint } from "../picture/paint.ts";
import type { Picture } from "../picture/picture.ts";
import type { Entry, Numbered } from "../picture/timeline.ts";
import type { Outcome } from "../prepare/preparer.ts";
import type { Machine } from "../topology/machine.ts";

/** Those who look at the same moment share one look. */
const FRESH_MS = 200;
const KEPT = 1024;

export interface SightOptions {
  readonly node: string;
  machine(): Machine;
  readonly reserved: CpuSet;
  keepShared(): CpuSet;
  readonly ledger: Ledger;
  readonly agent: AgentInspect;
  findings(): readonly Finding[];
}

/** What a running driver shows of its node: the picture now, and what happened lately. */
export class Sight implements PageSources {
  readonly #o: SightOptions;
  readonly #ring = new Ring<Numbered>(KEPT);
  #last: { readonly at: number; readonly picture: Promise<Picture> } | undefined;

  constructor(options: SightOptions) {
    this.#o = options;
  }

  picture(): Promise<Picture> {
    const now = performance.now();
    if (this.#last === undefined || now - this.#last.at > FRESH_MS) this.#last = { at: now, picture: this.#paint() };
    return this.#last.picture;
  }

  entries(afterSeq: number): readonly Numbered[] {
    return this.#ring.after(BigInt(Math.max(0, Math.trunc(afterSeq) || 0))).events;
  }

  subscribe(listener: () => void): () => void {
    return this.#ring.subscribe(listener);
  }

  tell(entry: Entry): void {
    this.#ring.push((seq) => ({ ...entry, seq: Number(seq) }));
  }

  /** Something that is no pod's and no claim's. */
  happened(kind: string, text: string): void {
    const nobody = { code: "", pod: "", container: "", claim: "", cpus: "", operation: "" };
    this.tell({ timeMs: Date.now(), source: "driver", kind, text, ...nobody });
  }

  /** A call of the kubelet ended. */
  ended(kind: "prepared" | "released", outcome: Outcome, cpus: string): void {
    const done =
      kind === "prepared" ? `Prepared, on CPUs ${cpus}` : "Released; its CPUs are free when no container of it lives";
    this.tell({
      timeMs: Date.now(),
      source: "driver",
      kind: outcome.result === "success" ? kind : "refused",
      text: outcome.result === "success" ? done : outcome.why,
      code: outcome.code?.id ?? "",
      pod: "",
      container: "",
      claim: `${outcome.claim.namespace}/${outcome.claim.name}`,
      cpus,
      operation: outcome.operation,
    });
  }

  async #paint(): Promise<Picture> {
    const { state, why } = await this.#o.agent.look();
    return paint({
      node: this.#o.node,
      nowMs: Date.now(),
      machine: this.#o.machine(),
      reserved: this.#o.reserved,
      keepShared: this.#o.keepShared(),
      driver: { isRunning: true, version: VERSION, why: "" },
      claims: this.#o.ledger.entries(),
      findings: this.#o.findings(),
      agent: state,
      agentWhy: why,
    });
  }
}
