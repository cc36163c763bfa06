import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { EventKind, type Event } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import type { Involved } from "./ports.ts";
import { nodeNamed, podNamed, type Reason } from "./reporter.ts";

/** What the agent's ring still holds of long ago is nobody's news, such as after a restart of the driver. */
const NEWS_MS = 60_000;

const OF_CONTAINERS: Readonly<Partial<Record<EventKind, Reason>>> = {
  [EventKind.REFUSED]: "ContainerRefused",
  [EventKind.ESCAPED]: "ContainerRanElsewhere",
  [EventKind.REPAIRED]: "ContainerRepaired",
};

/** What of the agent's events people should find at their pod or node; `undefined` for the rest. `now` in milliseconds since 1970. */
export function tidingsOf(
  event: Event,
  nodeName: string,
  now: number,
): { readonly about: Involved; readonly reason: Reason } | undefined {
  if (now - Number(event.timeMs) > NEWS_MS) return undefined;
  const { container, kind, code } = event;
  const node = nodeNamed(nodeName);
  if (kind === EventKind.SESSION) return { about: node, reason: "NRISession" };
  if (kind === EventKind.POOL) return code === "" ? undefined : { about: node, reason: "PoolSqueezed" };
  if (container === undefined || container.podName === "") return undefined;
  const about = podNamed(container.podNamespace, container.podName, container.podUid);
  if (kind === EventKind.PROBLEM)
    return { about, reason: code === CODES.confined.id ? "ContainerConfined" : "MaskNotSet" };
  const reason = OF_CONTAINERS[kind];
  return reason === undefined ? undefined : { about, reason };
}
