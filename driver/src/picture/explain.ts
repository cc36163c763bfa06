import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ClaimView, ContainerView, Picture } from "./picture.ts";
import type { Entry } from "./timeline.ts";

/** Why one container has the CPUs it has, and who else is there. */
export interface Explanation {
  readonly container: ContainerView;
  /** The answer in one sentence. */
  readonly verdict: string;
  readonly isWrong: boolean;
  readonly claims: readonly ClaimView[];
  /** Sockets, NUMA nodes and caches that its CPUs touch. */
  readonly place: string;
  /** `namespace/pod/container` of those that may run on a CPU of its, by the kernel's word. */
  readonly others: readonly string[];
  readonly history: readonly Entry[];
}

/** @param who `pod`, `namespace/pod`, either with `/container`. Empty where no container of that name is known. */
export function explain(picture: Picture, events: readonly Entry[], who: string): Explanation[] {
  return picture.containers
    .filter((one) => isMeant(one, who))
    .map((container) => {
      const cpus = CpuSet.parse(container.effective === "" ? container.wanted : container.effective);
      const claims = picture.claims.filter((claim) => container.claims.includes(claim.uid));
      const others = picture.containers
        .filter((one) => one.id !== container.id && one.phase !== "stopped" && one.effective !== "")
        .filter((one) => CpuSet.parse(one.effective).overlaps(cpus));
      const strangers = others.filter((one) => !one.claims.some((uid) => container.claims.includes(uid)));
      return {
        container,
        ...verdictOf(container, strangers.length),
        claims,
        place: placeOf(picture, cpus),
        others: others.map(nameOf),
        history: events.filter((one) => isAbout(one, container, claims)),
      };
    });
}

export function nameOf(one: ContainerView): string {
  return `${one.namespace}/${one.pod}/${one.name}`;
}

function isMeant(one: ContainerView, who: string): boolean {
  return [one.pod, `${one.pod}/${one.name}`, `${one.namespace}/${one.pod}`, nameOf(one)].includes(who);
}

function verdictOf(one: ContainerView, strangers: number): { readonly verdict: string; readonly isWrong: boolean } {
  const name = nameOf(one);
  if (one.outside !== "")
    return { verdict: `${name} may run on CPUs ${one.outside}, which it should not have`, isWrong: true };
  if (one.effective === "")
    return one.wanted === ""
      ? { verdict: `${name} is not this driver's to touch yet`, isWrong: false }
      : { verdict: `${name} is to run on CPUs ${one.wanted}; the kernel has not been asked yet`, isWrong: false };
  if (one.role !== "claim")
    return { verdict: `${name} shares CPUs ${one.effective} with ${others(strangers)}`, isWrong: false };
  return strangers === 0
    ? { verdict: `${name} has CPUs ${one.effective} alone`, isWrong: false }
    : { verdict: `${name} has CPUs ${one.effective}, and ${others(strangers)} may run there`, isWrong: true };
}

function others(count: number): string {
  return count === 1 ? "1 other container" : `${count} other containers`;
}

function placeOf(picture: Picture, cpus: CpuSet): string {
  const touched: string[] = [];
  const visit = (boxes: Picture["machine"]["boxes"]): void => {
    for (const box of boxes) {
      if (box.kind === "Core" || !CpuSet.parse(box.cpus).overlaps(cpus)) continue;
      touched.push(...box.names.filter((name) => /^(Socket|NUMA node|L3)/.test(name)));
      visit(box.boxes);
    }
  };
  visit(picture.machine.boxes);
  return touched.map((name) => name.replace(/ \(.*\)/, "")).join(", ");
}

function isAbout(entry: Entry, one: ContainerView, claims: readonly ClaimView[]): boolean {
  if (entry.container !== "") return entry.pod === `${one.namespace}/${one.pod}` && entry.container === one.name;
  if (entry.claim !== "")
    return claims.some((claim) => entry.claim.split(", ").includes(`${claim.namespace}/${claim.name}`));
  return one.role !== "claim" && entry.kind === "pool";
}
