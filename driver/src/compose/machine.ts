import { readFileSync } from "node:fs";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { DRIVER_NAME } from "@dracpu/shared-proto/contract/names.ts";
import type { MachineRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { Offer } from "../claims/decide.ts";
import type { DriverSettings } from "../config/settings.ts";
import { readPcieRoots, type PcieRoots } from "../slices/pcieroots.ts";
import { planDevices, type DevicePlan } from "../slices/plan.ts";
import { sysfsOf } from "../sysfs/source.ts";
import { ONLINE } from "../topology/files.ts";
import type { Machine } from "../topology/machine.ts";
import { readMachine, TopologyFault } from "../topology/read.ts";
import { Wholeness } from "../topology/wholeness.ts";

export interface MachineParts {
  readonly machine: Machine;
  readonly plan: DevicePlan;
  /** As the agent is told. */
  readonly record: MachineRecord;
  readonly offer: Offer;
  readonly pcieRoots: PcieRoots | undefined;
  /** What may be there and could not be read; "" where all was. */
  readonly missed: string;
}

/** The kernel's list of online CPUs, as it stands now; `undefined` where there is none. @throws TopologyFault, OverlayFault */
export function onlineText(settings: DriverSettings): string | undefined {
  const sysfs = sysfsOf(settings);
  return sysfs.read(ONLINE, (errno) => {
    throw new TopologyFault(`${sysfs.whereIs(ONLINE)} cannot be read (${errno})`);
  });
}

/** The machine that the settings name, and what this node offers of it. @throws TopologyFault, OverlayFault */
export function machineOf(settings: DriverSettings): MachineParts {
  // An overlay says what it likes of some CPUs and not of others.
  const sysfs = new Wholeness(sysfsOf(settings), settings.sysfsOverlay === "");
  const machine = readMachine(sysfs);
  const pcieRoots = settings.exposePCIeRoots ? readPcieRoots(sysfs) : undefined;
  return partsOf(settings, machine, pcieRoots, sysfs.missed());
}

/** The same machine without the CPUs that are not online any more. */
export function without(settings: DriverSettings, parts: MachineParts, online: CpuSet): MachineParts {
  const machine = { ...parts.machine, online: parts.machine.online.intersect(online) };
  return partsOf(settings, machine, parts.pcieRoots, parts.missed);
}

function partsOf(
  settings: DriverSettings,
  machine: Machine,
  pcieRoots: PcieRoots | undefined,
  missed: string,
): MachineParts {
  const plan = planDevices(machine, {
    mode: settings.cpuDeviceMode,
    groupBy: settings.groupBy,
    reserved: settings.reservedCPUs,
    keepShared: settings.keepShared,
    wholeCores: settings.policy.cores !== "any",
    ...(pcieRoots === undefined ? {} : { pcieRoots, pcieRootLists: settings.pcieRootLists }),
  });
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const record: MachineRecord = {
    online: machine.online,
    present: machine.present,
    reserved: settings.reservedCPUs,
    keepShared: plan.keepShared,
    bootId,
  };
  const offer: Offer = {
    driver: DRIVER_NAME,
    pool: settings.nodeName,
    machine,
    candidates: plan.candidates,
    offered: plan.devices.map((device) => device.name),
    defaults: settings.policy,
    reserved: settings.reservedCPUs,
    keepShared: plan.keepShared,
  };
  return { machine, plan, record, offer, pcieRoots, missed };
}
