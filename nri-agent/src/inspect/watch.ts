import { create } from "@bufbuild/protobuf";
import {
  WatchEventsResponseSchema,
  type WatchEventsRequest,
  type WatchEventsResponse,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import type { EventSource } from "../enforce/contract.ts";

export const HEARTBEAT_MS = 5000;

/** The stream of WatchEvents: what is kept, then what comes; a gap is told, and silence is filled with heartbeats. */
export async function* watchEvents(
  source: EventSource,
  request: WatchEventsRequest,
  signal: AbortSignal,
  heartbeatMs = HEARTBEAT_MS,
): AsyncGenerator<WatchEventsResponse> {
  let seq = request.afterSeq;
  // A number from an earlier life of this agent: begin with the oldest that is kept.
  if (seq > source.lastSeq) seq = 0n;
  while (!signal.aborted) {
    const { events, oldestSeq } = source.after(seq);
    if (seq > 0n && seq + 1n < oldestSeq) {
      yield create(WatchEventsResponseSchema, { what: { case: "gap", value: { afterSeq: seq, oldestSeq } } });
    }
    for (const event of events) {
      yield create(WatchEventsResponseSchema, { what: { case: "event", value: event } });
      seq = event.seq;
    }
    if (source.lastSeq > seq) continue;
    if (!(await newEvent(source, heartbeatMs, signal)) && !signal.aborted) {
      yield create(WatchEventsResponseSchema, { what: { case: "heartbeat", value: { lastSeq: source.lastSeq } } });
    }
  }
}

function newEvent(source: EventSource, ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (came: boolean): void => {
      clearTimeout(timer);
      unsubscribe();
      signal.removeEventListener("abort", onAbort);
      resolve(came);
    };
    const onAbort = (): void => done(false);
    const timer = setTimeout(() => done(false), ms);
    const unsubscribe = source.subscribe(() => done(true));
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
