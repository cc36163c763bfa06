import { Event } from "@dracpu/shared-proto/gen/nri/api_pb.ts";

/**
 * The events subscribed to, as Configure's answer wants them: bit n-1 for event n. Only bits 1 to 11, which every NRI version knows
 * (an unknown bit closes the connection), and never 0, which means all.
 */
export const SUBSCRIBED: readonly Event[] = [
  Event.CREATE_CONTAINER,
  Event.POST_CREATE_CONTAINER,
  Event.START_CONTAINER,
  Event.POST_START_CONTAINER,
  Event.UPDATE_CONTAINER,
  Event.POST_UPDATE_CONTAINER,
  Event.STOP_CONTAINER,
  Event.REMOVE_CONTAINER,
];

export function eventMask(events: readonly Event[]): number {
  return events.reduce<number>((mask, event) => mask | (1 << (event - 1)), 0);
}
