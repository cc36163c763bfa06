import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { ContainerPhase, ContainerRole, type Container } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { ContainerView } from "./picture.ts";

/** The name of an enum's value as people read it; `unknown` for one of a later release. */
export function word(names: Readonly<Record<string, string | number>>, value: number): string {
  const [name = "unknown"] = Object.entries(names).find(([, one]) => one === value) ?? [];
  return name.toLowerCase().replaceAll("_", " ");
}

export function containerViews(containers: readonly Container[]): ContainerView[] {
  return containers
    .map((one): ContainerView => {
      const wanted = one.mask?.wanted ?? "";
      const effective = one.mask?.effective ?? "";
      return {
        id: one.ref?.id ?? "",
        namespace: one.ref?.podNamespace ?? "",
        pod: one.ref?.podName ?? "",
        podUid: one.ref?.podUid ?? "",
        name: one.ref?.name ?? "",
        phase: word(ContainerPhase, one.phase),
        role: word(ContainerRole, one.role),
        claims: one.claimUids,
        wanted,
        sent: one.mask?.sent ?? "",
        effective,
        readMs: Number(one.mask?.readMs ?? 0n),
        outside: outside(wanted, effective, one.phase).toString(),
        partition: one.partition,
        cgroup: one.cgroup,
        problem: one.problem,
      };
    })
    .sort((a, b) => compare(a.namespace, b.namespace) || compare(a.pod, b.pod) || compare(a.name, b.name));
}

/** Nothing is outside where nobody says what it should have, or the kernel does not say what it has. */
function outside(wanted: string, effective: string, phase: ContainerPhase): CpuSet {
  if (wanted === "" || effective === "" || phase === ContainerPhase.STOPPED) return CpuSet.empty;
  return CpuSet.parse(effective).minus(CpuSet.parse(wanted));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
