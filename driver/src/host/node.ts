import { accessSync, constants, existsSync, readdirSync, readFileSync, statfsSync } from "node:fs";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { isSeen, type Facts, type KubeletFacts, type Seen } from "../doctor/facts.ts";

/** Looks, and turns what cannot be looked at into its reason. */
export function see<T>(look: () => T): Seen<T> {
  try {
    return { value: look() };
  } catch (cause) {
    return { why: (cause as Error).message };
  }
}

export function kernelFacts(cgroupRoot: string): Facts["kernel"] {
  return see(() => ({
    release: release(),
    cgroup: isV2(cgroupRoot) ? (2 as const) : (1 as const),
  }));
}

function isV2(cgroupRoot: string): boolean {
  const controllers = join(cgroupRoot, "cgroup.controllers");
  return existsSync(controllers) && readFileSync(controllers, "utf8").split(/\s+/).includes("cpuset");
}

export function diskFacts(dir: string): Facts["disk"] {
  return see(() => {
    const path = nearest(dir);
    const { bavail, bsize, blocks } = statfsSync(path);
    return { path, freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  });
}

export function isWritable(dir: string): boolean {
  try {
    accessSync(nearest(dir), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The directory, or the first above it that is there. */
function nearest(dir: string): string {
  let at = dir;
  while (!existsSync(at) && at !== dirname(at)) at = dirname(at);
  return at;
}

/** Programs that the runtime starts by itself, but for this driver's own; `undefined` without their directory, which the driver's pod does not see. */
export function pluginFacts(dir: string): Facts["nriPlugins"] {
  return see(() => (existsSync(dir) ? readdirSync(dir).filter((name) => !name.includes("dracpu")) : undefined));
}

/**
 * What the kubelet runs with: the policy as its pod resources API tells it or as it has written it down itself, and its configuration file.
 *
 * @param allocatable what its CPU manager may give out, where it was asked.
 */
export function kubeletFacts(rootDir: string, allocatable: Seen<CpuSet>): Seen<KubeletFacts> {
  return see(() => {
    const state = join(rootDir, "cpu_manager_state");
    const config = join(rootDir, "config.yaml");
    const sources = [state, config].filter((path) => existsSync(path));
    if (isSeen(allocatable)) sources.unshift("pod-resources/kubelet.sock");
    if (sources.length === 0)
      throw new Error(
        `neither ${state} nor ${config} can be seen from here, and the kubelet cannot be asked; its settings are not known`,
      );
    const kept = existsSync(state) ? (JSON.parse(readFileSync(state, "utf8")) as { policyName?: string }) : {};
    const set = (existsSync(config) ? parse(readFileSync(config, "utf8")) : {}) as {
      cpuManagerPolicy?: string;
      reservedSystemCPUs?: string;
    } | null;
    const asked = !isSeen(allocatable) ? undefined : allocatable.value.isEmpty ? "none" : "static";
    return {
      cpuManagerPolicy: asked ?? kept.policyName ?? set?.cpuManagerPolicy ?? "none",
      reservedSystemCpus: existsSync(config) ? (set?.reservedSystemCPUs ?? "") : undefined,
      source: sources.join(", "),
    };
  });
}
