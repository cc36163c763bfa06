import { CPU_CAPACITY } from "./capacity.ts";
import type { Device, DeviceTaint } from "./device.ts";
import type { DevicePlan } from "./plan.ts";
import { hasList } from "./slices.ts";

/** What an API server keeps of what this driver publishes. */
export interface Kept {
  /** `allowMultipleAllocations`: DRAConsumableCapacity, on by default from 1.36. */
  readonly shared: boolean;
  /** Lists as attributes: DRAListTypeAttributes. */
  readonly lists: boolean;
  /** DRADeviceTaints, on by default from 1.36. */
  readonly taints: boolean;
  /** Under which name CPUs of claims are charged to the node: DRANodeAllocatableResources. */
  readonly mapping: "1.36" | "1.37" | "none";
}

/** What is tried first. */
export function wishes(withMapping: boolean): Kept {
  return { shared: true, lists: true, taints: true, mapping: withMapping ? "1.36" : "none" };
}

/** The plan's devices in the form that an API server keeps. @param taint of all of them. */
export function devicesFor(plan: DevicePlan, kept: Kept, taint?: DeviceTaint): Device[] {
  const devices = kept.shared ? plan.devices : plan.individual;
  return devices.map((device) => ({
    ...device,
    attributes: kept.lists
      ? device.attributes
      : Object.fromEntries(Object.entries(device.attributes).filter(([, value]) => !("strings" in value))),
    ...mapping(device, kept.mapping),
    ...(taint !== undefined && kept.taints ? { taints: [taint] } : {}),
  }));
}

function mapping(device: Device, name: Kept["mapping"]): Partial<Device> {
  const shared = device.allowMultipleAllocations === true;
  if (name === "1.36") {
    const key = shared ? { capacityKey: CPU_CAPACITY } : {};
    return { nodeAllocatableResourceMappings: { cpu: { ...key, allocationMultiplier: "1" } } };
  }
  if (name === "1.37") {
    const one = shared ? { capacityKey: CPU_CAPACITY, capacityMultiplier: "1" } : { deviceMultiplier: "1" };
    return { nodeAllocatableResources: { cpu: { mapping: one } } };
  }
  return {};
}

/** What is different from `kept` after a dry run, with a sentence for people. */
export interface Loss {
  readonly kept: Kept;
  readonly sentence: string;
}

const NO_MAPPING =
  "the API server does not keep the node-allocatable mapping, so CPUs of claims are not charged to the node: it needs the feature gate DRANodeAllocatableResources (alpha)";

/** Gated fields are dropped without a word: the answer is compared with what was sent. `undefined` where nothing is lost. */
export function dropped(kept: Kept, sent: readonly Device[], got: readonly Partial<Device>[]): Loss | undefined {
  const lost = (has: (device: Partial<Device>) => boolean): boolean =>
    sent.some((device, n) => has(device) && !has(got[n] ?? {}));
  if (kept.shared && lost((device) => device.allowMultipleAllocations === true)) {
    return {
      kept: { ...kept, shared: false },
      sentence:
        "the API server drops allowMultipleAllocations, so CPUs are offered one by one, as in individual mode: grouped devices need the feature gate DRAConsumableCapacity (on by default from 1.36)",
    };
  }
  if (kept.taints && lost((device) => device.taints !== undefined)) {
    return {
      kept: { ...kept, taints: false },
      sentence:
        "the API server drops taints of devices, so the scheduler goes on placing claims on this node, where they wait: it needs the feature gate DRADeviceTaints (on by default from 1.36)",
    };
  }
  const field = kept.mapping === "1.36" ? "nodeAllocatableResourceMappings" : "nodeAllocatableResources";
  if (kept.mapping !== "none" && lost((device) => device[field] !== undefined))
    return { kept: { ...kept, mapping: "none" }, sentence: NO_MAPPING };
  return undefined;
}

/** A refusal that leaving something out will cure; `undefined` for every other one. */
export function refused(kept: Kept, sent: readonly Device[], message: string): Loss | undefined {
  if (kept.mapping !== "none" && message.includes("field not declared in schema")) {
    const next = kept.mapping === "1.36" ? "1.37" : "none";
    return { kept: { ...kept, mapping: next }, sentence: next === "none" ? NO_MAPPING : "" };
  }
  if (kept.lists && sent.some(hasList) && message.includes("exactly one value must be specified")) {
    return {
      kept: { ...kept, lists: false },
      sentence:
        "the API server refuses lists as attributes, so devices near several PCIe roots have no pcieRoot: --pcie-root-lists needs the feature gate DRAListTypeAttributes (alpha)",
    };
  }
  return undefined;
}
