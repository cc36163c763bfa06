import type { PrepareLog } from "../prepare/ports.ts";
import type { EventApi, Involved } from "./ports.ts";

/** Events of one object and reason in this process's life; a pod that fails for ever must not fill etcd. */
const PER_OBJECT = 5;
/** Objects whose number of Events is remembered; the oldest are forgotten. */
const MAX_OBJECTS = 1000;
const MAX_WAITING = 64;
const MAX_MESSAGE = 1000;

/** Why Events are written; closed. */
export type Reason =
  | "ContainerRefused"
  | "ContainerRanElsewhere"
  | "UnprepareFailed"
  | "ClaimStillInUse"
  | "RequestUnknown"
  | "NRISession";

export interface ReporterOptions {
  readonly api: EventApi;
  readonly driver: string;
  readonly nodeName: string;
  readonly log: PrepareLog;
  /** Milliseconds since 1970. */
  now(): number;
  onDropped(): void;
}

/** Writes Kubernetes Events, one at a time, for people who look at a pod, a claim or a node. Nothing waits for them, and they may be lost. */
export class Reporter {
  readonly #o: ReporterOptions;
  readonly #told = new Map<string, number>();
  readonly #waiting: (() => Promise<void>)[] = [];
  #writing = false;
  #said = "";

  constructor(options: ReporterOptions) {
    this.#o = options;
  }

  tell(about: Involved, reason: Reason, message: string, signal: AbortSignal): void {
    const key = `${about.kind}/${about.namespace}/${about.name}/${about.uid}/${reason}`;
    const told = this.#told.get(key) ?? 0;
    if (told >= PER_OBJECT || this.#waiting.length >= MAX_WAITING) {
      this.#o.onDropped();
      return;
    }
    this.#told.delete(key);
    this.#told.set(key, told + 1);
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= MAX_OBJECTS) break;
      this.#told.delete(oldest);
    }
    const at = new Date(this.#o.now()).toISOString().replace(/\.\d+Z$/, "Z");
    const { driver, nodeName } = this.#o;
    this.#waiting.push(() =>
      this.#o.api.write(
        {
          apiVersion: "v1",
          kind: "Event",
          // Events of objects without a namespace lie in "default".
          metadata: { generateName: `${driver}-`, namespace: about.namespace === "" ? "default" : about.namespace },
          involvedObject: about,
          reason,
          message: message.slice(0, MAX_MESSAGE),
          type: reason === "NRISession" ? "Normal" : "Warning",
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

export function claimNamed(claim: {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}): Involved {
  const { namespace, name, uid } = claim;
  return { apiVersion: "resource.k8s.io/v1", kind: "ResourceClaim", namespace, name, uid };
}
