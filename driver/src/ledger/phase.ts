/**
 * A claim's life on this node:
 *
 * | from | event | to |
 * |---|---|---|
 * | (none), allocated, preparing | prepare: its CPUs are decided, or have been | preparing |
 * | prepared | prepare: the kubelet asks again | prepared |
 * | preparing | fulfilled: CDI file written, agent says ENFORCED | prepared |
 * | (none) | adopt: another driver's file says so | prepared |
 * | allocated, preparing, prepared | reboot (another boot id): the CPUs stay with it, everything else about it is void | allocated |
 * | any | release: Unprepare, or the API server says that the claim is gone | draining |
 * | draining | reboot; or the agent says that no container of it lives, and it is forgotten | (none) |
 *
 * A step of Prepare that fails or times out is no event: the kubelet's next call goes on there, and nothing but a release gives the CPUs back.
 * `releasing` of the order of things is `draining` with its CDI file still there; a restart removes the file again.
 */
export type ClaimPhase = "allocated" | "preparing" | "prepared" | "draining";

export type ClaimEvent = "prepare" | "fulfilled" | "adopt" | "reboot" | "release";

/** `undefined`: no claim of this node. */
type Step = ClaimPhase | undefined;

const TABLE: Readonly<Record<ClaimEvent, ReadonlyMap<Step, Step>>> = {
  prepare: new Map<Step, Step>([
    [undefined, "preparing"],
    ["allocated", "preparing"],
    ["preparing", "preparing"],
    ["prepared", "prepared"],
  ]),
  fulfilled: new Map<Step, Step>([
    ["preparing", "prepared"],
    ["prepared", "prepared"],
  ]),
  adopt: new Map<Step, Step>([[undefined, "prepared"]]),
  reboot: new Map<Step, Step>([
    ["allocated", "allocated"],
    ["preparing", "allocated"],
    ["prepared", "allocated"],
    ["draining", undefined],
  ]),
  release: new Map<Step, Step>([
    ["allocated", "draining"],
    ["preparing", "draining"],
    ["prepared", "draining"],
    ["draining", "draining"],
  ]),
};

/** @throws Error where the event cannot come to a claim in that phase. */
export function nextPhase(from: Step, event: Exclude<ClaimEvent, "reboot">): ClaimPhase;
export function nextPhase(from: Step, event: ClaimEvent): Step;
export function nextPhase(from: Step, event: ClaimEvent): Step {
  const table = TABLE[event];
  if (!table.has(from)) throw new Error(`A claim that is ${from ?? "unknown"} cannot come to ${event}`);
  return table.get(from);
}
