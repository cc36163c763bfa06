import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { cpusOf, type PlayedClaim } from "./playeddriver.ts";
import type { PlayedNode } from "./playednode.ts";
import type { PlayedContainer } from "./playedruntime.ts";

/**
 * The promises, judged by the kernel alone: what the agent thinks plays no part. Empty where all are kept.
 *
 * - `now`: at any instant, whoever is dead: no CPU is two claims', no claim's container is wider than its claim, none started so
 * - `watched`: while an agent is connected, and nobody else meddles: others are off the CPUs of running claims
 * - `settled`: nothing is left to do: masked CPUs too, no half partition, no CPU lost
 */
export function broken(node: PlayedNode, when: "now" | "watched" | "settled"): string[] {
  const found: string[] = [];
  const { kernel, runtime } = node;
  const online = kernel.online;
  const running = [...runtime.containers.values()].filter(
    (one) => one.state === "running" && kernel.populated(one.cgroup),
  );
  const claimed = running.flatMap((one) => claimsOf(node, one).map((claim) => ({ one, claim })));
  for (const { one, claim } of claimed) {
    const on = kernel.effective(one.cgroup);
    const all = CpuSet.union(claimsOf(node, one).map(cpusOf));
    if (!on.isSubsetOf(all) && all.overlaps(online))
      found.push(`${one.id} runs on ${text(on)}, its claims have ${text(all)}`);
    if (one.first?.isSubsetOf(all) === false)
      found.push(`the first instruction of ${one.id} ran on ${text(one.first)}, its claims have ${text(all)}`);
    for (const other of claimed) {
      const both = kernel.effective(other.one.cgroup).intersect(on);
      if (other.claim !== claim && other.one !== one && !both.isEmpty && !sharesClaim(node, one, other.one))
        found.push(`${one.id} and ${other.one.id} of another claim both run on ${text(both)}`);
    }
  }
  for (const empty of runtime.emptySent) found.push(`an empty mask was sent: ${empty}`);
  for (const write of node.hand.writes)
    if (/^cpuset\.cpus .*=$/.test(write)) found.push(`an empty mask was written: ${write}`);
  if (when === "now") return found;
  for (const one of running) {
    if (claimsOf(node, one).length > 0) continue;
    // Created while no agent watched: without updates of its own, it is put right at the next hook.
    if (node.levers.masks === "runtime" && !node.canUpdate && one.stored === "") continue;
    for (const { one: owner, claim } of claimed) {
      const own = kernel.effective(owner.cgroup).intersect(cpusOf(claim));
      const both = kernel.effective(one.cgroup).intersect(own);
      if (!both.isEmpty && owner !== one && !everything(node))
        found.push(`${one.id} runs on ${text(both)}, where ${owner.id} of a claim runs`);
    }
  }
  if (when === "watched") return found;
  for (const one of running) {
    if (claimsOf(node, one).length > 0 || everything(node)) continue;
    // By updates alone: replies wait for a hook, and nobody updates what is being stopped.
    if (node.levers.masks === "runtime" && (!node.canUpdate || one.stopping)) continue;
    for (const claim of node.claims.values()) {
      if (claim.state === "draining" && !claimed.some((each) => each.claim === claim)) continue;
      const held = CpuSet.parse(claim.idle).union(node.levers.force === "kernel" ? CpuSet.empty : cpusOf(claim));
      const both = kernel.effective(one.cgroup).intersect(held);
      if (!both.isEmpty) found.push(`${one.id} runs on ${text(both)}, which claim ${claim.uid.slice(0, 8)} holds`);
    }
  }
  for (const path of kernel.paths()) {
    if (kernel.isHalf(path)) found.push(`${path} is called invalid and has its CPUs`);
  }
  if (!kernel.lost().isEmpty) found.push(`CPUs ${text(kernel.lost())} are lost to everybody`);
  return found;
}

/** What is left behind when no claim's container lives; empty where nothing is. */
export function leftovers(node: PlayedNode): string[] {
  const found: string[] = [];
  for (const path of node.kernel.paths()) {
    const list = node.kernel.readExclusive(path);
    if (list !== undefined && !list.isEmpty) found.push(`${path} still has the list ${text(list)}`);
    if (node.kernel.readPartition(path) !== "member")
      found.push(`${path} is still ${node.kernel.readPartition(path) ?? ""}`);
  }
  if (!node.kernel.lost().isEmpty) found.push(`CPUs ${text(node.kernel.lost())} are lost to everybody`);
  return found;
}

function claimsOf(node: PlayedNode, one: PlayedContainer): PlayedClaim[] {
  return [...node.claims.values()].filter((claim) => one.cdi.some((id) => id.includes(claim.uid)));
}

function sharesClaim(node: PlayedNode, a: PlayedContainer, b: PlayedContainer): boolean {
  const claims = claimsOf(node, a);
  return claimsOf(node, b).some((claim) => claims.includes(claim));
}

/** Claims have every CPU there is: the pool overlaps them, and says so. */
function everything(node: PlayedNode): boolean {
  return node.state().pool?.fellBack === true;
}

function text(cpus: CpuSet): string {
  return cpus.toString();
}
