import { readFileSync } from "node:fs";
import { DRIVER_NAME } from "@dracpu/shared-proto/contract/names.ts";
import type { MachineRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { Offer } from "../claims/decide.ts";
import type { DriverSettings } from "../config/settings.ts";
import { readPcieRoots } from "../slices/pcieroots.ts";
import { planDevices, type DevicePlan } from "../slices/plan.ts";
import { sysfsOf } from "../sysfs/source.ts";
import { CPU } from "../topology/files.ts";
import type { Machine } from "../topology/machine.ts";
import { readMachine } from "../topology/read.ts";

export interface MachineParts {
  readonly machine: Machine;
  readonly plan: DevicePlan;
  /** As the agent is told. */
  readonly record: MachineRecord;
  readonly offer: Offer;
}

/** The kernel's list of online CPUs, as it stands now; `undefined` where it cannot be read. */
export function onlineText(settings: DriverSettings): string | undefined {
  return sysfsOf(settings).read(`${CPU}/online`);
}

/** The machine that the settings name, and what this node offers of it. @throws TopologyFault, OverlayFault */
export function machineOf(settings: DriverSettings): MachineParts {
  const sysfs = sysfsOf(settings);
  const machine = readMachine(sysfs);
  const plan = planDevices(machine, {
    mode: settings.cpuDeviceMode,
    groupBy: settings.groupBy,
    reserved: settings.reservedCPUs,
    keepShared: settings.keepShared,
    wholeCores: settings.policy.cores !== "any",
    ...(settings.exposePCIeRoots ? { pcieRoots: readPcieRoots(sysfs), pcieRootLists: settings.pcieRootLists } : {}),
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
  return { machine, plan, record, offer };
}
