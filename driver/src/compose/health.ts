import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { DeviceHealth, HealthSource } from "../kubelet/health.ts";
import type { Picture } from "../picture/picture.ts";
import type { LiveMachine } from "./livemachine.ts";
import type { Sight } from "./sight.ts";

/** For the kubelet: the health of this node's devices, by what everybody sees. */
export function healthSource(live: LiveMachine, sight: () => Sight): HealthSource {
  return {
    health: async () => {
      const { pool, offered, candidates } = live.parts.offer;
      return healthOf(await sight().picture(), pool, offered, candidates);
    },
    subscribe: (listener) => sight().subscribe(listener),
  };
}

/**
 * Health of the devices that are offered, or held by a claim, by the picture that everybody sees: whether the agent can enforce at all, who runs where it should not, and claims' CPUs
 * that are offline.
 *
 * @param devices CPUs behind each name that this driver knows.
 */
export function healthOf(
  { agent, claims, threads }: Picture,
  pool: string,
  offered: readonly string[],
  devices: ReadonlyMap<string, CpuSet>,
): DeviceHealth[] {
  const everywhere = notEnforced(agent);
  const offline = CpuSet.from(threads.filter((one) => one.use === "offline").map((one) => one.cpu));
  const shares = claims.flatMap((claim) =>
    claim.shares.map((share) => ({ ...share, at: `${claim.namespace}/${claim.name}` })),
  );
  const names = new Set([...offered, ...shares.map((share) => share.device)]);
  return [...names].map((device) => {
    const cpus = devices.get(device) ?? CpuSet.empty;
    const wrong = threads.filter((one) => cpus.has(one.cpu)).flatMap((one) => one.wrong ?? []);
    const gone = shares
      .filter((share) => share.device === device)
      .map((share) => ({ at: share.at, cpus: CpuSet.parse(share.cpus).intersect(offline) }))
      .filter((share) => !share.cpus.isEmpty)
      .map((share) => `CPUs ${share.cpus.toString()} of claim ${share.at} are offline`);
    const why = [...new Set([...everywhere, ...gone, ...wrong])].join("; ");
    return { pool, device, why };
  });
}

function notEnforced(agent: Picture["agent"]): string[] {
  if (!agent.isRunning) return [`the NRI agent does not answer, so that no new container can be pinned: ${agent.why}`];
  if (agent.session === "synchronized") return [];
  return [
    `the NRI agent has no session with the container runtime, so that no new container can be pinned: ${agent.sessionWhy || agent.session}`,
  ];
}
