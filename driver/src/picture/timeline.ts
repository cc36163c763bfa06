import { EventKind, type Event } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { word } from "./containers.ts";

/** Something that happened on the node, as either program tells it. */
export interface Entry {
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  readonly source: "driver" | "agent";
  /** `pinned`, `refused`, `escaped`, `prepared` … */
  readonly kind: string;
  readonly text: string;
  /** `DRACPU-nnn`, or "". */
  readonly code: string;
  /** `namespace/name`, or "". */
  readonly pod: string;
  readonly container: string;
  /** `namespace/name`, comma separated. */
  readonly claim: string;
  readonly cpus: string;
  readonly operation: string;
}

/** An entry with its number in a ring. */
export interface Numbered extends Entry {
  readonly seq: number;
}

export function entryOf(event: Event): Entry {
  const { container } = event;
  return {
    timeMs: Number(event.timeMs),
    source: "agent",
    kind: word(EventKind, event.kind),
    text: event.message,
    code: event.code,
    pod: container === undefined || container.podName === "" ? "" : `${container.podNamespace}/${container.podName}`,
    container: container?.name ?? "",
    claim: event.claims.map(({ namespace, name, uid }) => (name === "" ? uid : `${namespace}/${name}`)).join(", "),
    cpus: event.cpus,
    operation: event.operationId,
  };
}

/** One line, for people. */
export function entryLine(entry: Entry, time: (ms: number) => string): string {
  const who = entry.pod === "" ? entry.claim : `${entry.pod}${entry.container === "" ? "" : `/${entry.container}`}`;
  const code = entry.code === "" ? "" : ` [${entry.code}]`;
  return `${time(entry.timeMs)}  ${entry.kind.padEnd(9)} ${who === "" ? "" : `${who}: `}${entry.text}${code}`;
}
