import type { Code } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { PrepareLog } from "../prepare/ports.ts";
import { Budget } from "./budget.ts";
import type { EventApi, Involved } from "./ports.ts";

/** Events of one object, reason and code in an hour; a pod that fails for ever must not fill etcd. */
const PER_OBJECT = 5;
const PER_OBJECT_MS = 3_600_000;
/** Objects whose number of Events is remembered; the oldest are forgotten. */
const MAX_OBJECTS = 1000;
/** API writes in any minute, whatever happens on the node. */
const PER_MINUTE = 30;
const MAX_MESSAGE = 1000;

/** Why Events are written, with what people can look up about it; closed. A refused container has a code of its own. */
export const REASONS = {
  Prepared: undefined,
  ContainerRefused: CODES.startRefused,
  ContainerRanElsewhere: CODES.escaped,
  ContainerRepaired: undefined,
  ContainerConfined: CODES.confined,
  MaskNotSet: CODES.maskFailed,
  PoolSqueezed: CODES.poolFellBack,
  UnprepareFailed: CODES.unprepareFailed,
  ClaimStillInUse: CODES.claimStillInUse,
  RequestUnknown: CODES.requestMissing,
  NRISession: undefined,
  NodeProblem: CODES.notKnown,
} as const satisfies Readonly<Record<string, Code | undefined>>;

export type Reason = keyof typeof REASONS;

/** Reasons, and the codes that refusals have beside theirs. */
const KINDS = Object.keys(REASONS).length + 11;

export interface ReporterOptions {
  readonly api: EventApi;
  readonly driver: string;
  readonly nodeName: string;
  readonly log: PrepareLog;
  /** Milliseconds that no change of the clock moves. */
  now(): number;
  /** Milliseconds since 1970. */
  time(): number;
  onDropped(): void;
}

/** Writes Kubernetes Events, one at a time, for people who look at a pod, a claim or a node. Nothing waits for them, and they may be lost. */
export class Reporter {
  readonly #o: ReporterOptions;
  readonly #budget = new Budget(PER_MINUTE, KINDS);
  readonly #told = new Map<string, { readonly sinceMs: number; readonly count: number }>();
  readonly #waiting: (() => Promise<void>)[] = [];
  #writing = false;
  #said = "";

  constructor(options: ReporterOptions) {
    this.#o = options;
  }

  /** @param code where it is another than the reason's. */
  tell(
    about: Involved,
    reason: Reason,
    text: string,
    signal: AbortSignal,
    code: Code | undefined = REASONS[reason],
  ): void {
    const key = `${about.kind}/${about.namespace}/${about.name}/${about.uid}/${reason}/${code?.id ?? ""}`;
    const now = this.#o.now();
    let told = this.#told.get(key);
    if (told === undefined || now - told.sinceMs > PER_OBJECT_MS) told = { sinceMs: now, count: 0 };
    const kind = reason === "ContainerRefused" ? `${reason} ${code?.id ?? ""}` : reason;
    if (told.count >= PER_OBJECT || !this.#budget.take(kind, now)) {
      this.#o.onDropped();
      return;
    }
    this.#told.delete(key);
    this.#told.set(key, { ...told, count: told.count + 1 });
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= MAX_OBJECTS) break;
      this.#told.delete(oldest);
    }
    const at = new Date(this.#o.time()).toISOString().replace(/\.\d+Z$/, "Z");
    const { driver, nodeName } = this.#o;
    const suffix = code === undefined ? "" : ` [${code.id}]`;
    const message = text.slice(0, MAX_MESSAGE - suffix.length) + suffix;
    this.#waiting.push(() =>
      this.#o.api.write(
        {
          apiVersion: "v1",
          kind: "Event",
          // Events of objects without a namespace lie in "default".
          metadata: { generateName: `${driver}-`, namespace: about.namespace === "" ? "default" : about.namespace },
          involvedObject: about,
          reason,
          message,
          type: code === undefined ? "Normal" : "Warning",
          source: { component: driver, host: nodeName },
          firstTimestamp: at,
          lastTimestamp: at,
          count: 1,
          reportingComponent: driver,
          reportingInstance: nodeName,
        },
        signal,
      ),
    );
    void this.#write();
  }

  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        await next();
        this.#said = "";
      } catch (cause) {
        this.#o.onDropped();
        const why = (cause as Error).message;
        if (why !== this.#said) this.#o.log.warn("Kubernetes Events cannot be written", { cause: why });
        this.#said = why;
      }
    }
    this.#writing = false;
  }
}

export function podNamed(namespace: string, name: string, uid: string): Involved {
  return { apiVersion: "v1", kind: "Pod", namespace, name, uid };
}

/** Kubernetes' own Events of nodes have the name as the uid too (kubelet's nodeRef). */
export function nodeNamed(name: string): Involved {
  return { apiVersion: "v1", kind: "Node", namespace: "", name, uid: name };
}

export function claimNamed(claim: {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}): Involved {
  const { namespace, name, uid } = claim;
  return { apiVersion: "resource.k8s.io/v1", kind: "ResourceClaim", namespace, name, uid };
}
