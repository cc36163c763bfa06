import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ShareRecord } from "@dracpu/shared-proto/contract/records.ts";
import { allocate } from "../allocator/allocate.ts";
import { isSingle } from "../slices/groups.ts";
import type { Offer, OwnResult, Wanted } from "./decide.ts";
import { exactFault } from "./exact.ts";
import { chosenFault } from "./individual.ts";
import type { Wish } from "./precedence.ts";

export interface Chosen {
  readonly kind: "chosen";
  /** In the order of the results; a result whose CPUs are all idle has none. */
  readonly shares: readonly ShareRecord[];
  readonly idle: CpuSet;
}

export interface NotChosen {
  readonly kind: "shortfall";
  /** What is missing, with request and device. */
  readonly because: string;
  /** CPUs whose holders stand in the way. */
  readonly among: CpuSet;
  /** False where no release on this node would help. */
  readonly mayWait: boolean;
}

/** CPUs of one request: by device, and those that stay idle. */
interface Taken {
  readonly kind: "taken";
  readonly cpus: ReadonlyMap<OwnResult, CpuSet>;
  readonly idle: CpuSet;
}

/**
 * Chooses CPUs for every request, out of what is free; requests never overlap. Those that can take no other CPUs come first, then those
 * with conditions, then the rest, each in the order of the claim.
 */
export function choose(wanted: Pick<Wanted, "results" | "wishes">, offer: Offer, free: CpuSet): Chosen | NotChosen {
  const requests = [...wanted.wishes].map(([request, wish]) => ({
    request,
    wish,
    results: wanted.results.filter((result) => result.request === request && result.count > 0),
    rank: isChosen(wanted, request) || wish.cpuset !== undefined ? 0 : hasConditions(wish) ? 1 : 2,
  }));
  requests.sort((a, b) => a.rank - b.rank);
  const cpus = new Map<OwnResult, CpuSet>();
  let own = CpuSet.empty;
  let idle = CpuSet.empty;
  for (const { request, wish, results } of requests) {
    const answer = isChosen(wanted, request)
      ? given(request, wish, results, offer, own, free)
      : wish.cpuset !== undefined
        ? exact(request, wish.cpuset, results, offer, own, free)
        : picked(wish, results, offer, own, free);
    if (answer.kind === "shortfall") return answer;
    for (const [result, set] of answer.cpus) cpus.set(result, set);
    own = CpuSet.union([own, answer.idle, ...answer.cpus.values()]);
    idle = idle.union(answer.idle);
  }
  const shares = wanted.results.flatMap((result) => {
    const set = cpus.get(result) ?? CpuSet.empty;
    return set.isEmpty ? [] : [{ request: result.request, pool: result.pool, device: result.device, cpus: set }];
  });
  return { kind: "chosen", shares, idle };
}

/** The CPUs that a claim may wait for, and whether it can take no others. */
export function goal(wanted: Pick<Wanted, "results" | "wishes">, offer: Offer): { cpus: CpuSet; fixed: boolean } {
  const sets: CpuSet[] = [];
  let fixed = true;
  for (const [request, { cpuset }] of wanted.wishes) {
    const devices = wanted.results.filter((one) => one.request === request && one.count > 0);
    const candidates = CpuSet.union(devices.map((one) => offer.candidates.get(one.device) ?? CpuSet.empty));
    const isGiven = isChosen(wanted, request);
    fixed &&= isGiven || cpuset !== undefined;
    sets.push(isGiven || cpuset === undefined ? candidates : cpuset);
  }
  return { cpus: CpuSet.union(sets), fixed };
}

/** The scheduler has chosen the CPUs: its devices are single ones, in whatever mode the node is now. */
function isChosen(wanted: Pick<Wanted, "results">, request: string): boolean {
  return wanted.results.every((one) => one.request !== request || one.count === 0 || isSingle(one.device));
}

/** The allocator's choice, device by device. */
function picked(wish: Wish, results: readonly OwnResult[], offer: Offer, own: CpuSet, free: CpuSet): Taken | NotChosen {
  // The scheduler has charged the idle siblings too, so whole cores are taken, and split afterwards.
  const isolated = wish.policy.cores === "isolated";
  const policy = isolated ? { ...wish.policy, cores: "whole" as const } : wish.policy;
  let taken = own;
  let idle = CpuSet.empty;
  const cpus = new Map<OwnResult, CpuSet>();
  for (const result of results) {
    const candidates = (offer.candidates.get(result.device) ?? CpuSet.empty).minus(taken);
    const answer = allocate(offer.machine, candidates.intersect(free), result.count, policy);
    if (answer.kind === "shortfall") {
      // Would it do if all others gave back what they hold?
      const ever = allocate(offer.machine, candidates, result.count, policy);
      const because = ever.kind === "shortfall" ? ever.because : answer.because;
      return shortfall(
        `request ${result.request}, device ${result.device}: ${because}`,
        candidates,
        ever.kind !== "shortfall",
      );
    }
    const [running, resting] = isolated ? oneThreadACore(offer, answer.cpus) : [answer.cpus, CpuSet.empty];
    taken = CpuSet.union([taken, answer.cpus]);
    idle = idle.union(resting);
    cpus.set(result, running);
  }
  return { kind: "taken", cpus, idle };
}

/** Individual devices: the scheduler has chosen; it is checked. */
function given(
  request: string,
  wish: Wish,
  results: readonly OwnResult[],
  offer: Offer,
  own: CpuSet,
  free: CpuSet,
): Taken | NotChosen {
  const cpus = new Map(results.map((result) => [result, offer.candidates.get(result.device) ?? CpuSet.empty]));
  const all = CpuSet.union(cpus.values());
  const count = results.reduce((sum, result) => sum + result.count, 0);
  const why =
    all.size !== count || all.overlaps(own)
      ? `its devices are CPUs ${all.toString()}, and each is to be had once`
      : chosenFault(offer.machine, wish, all);
  if (why !== "") return shortfall(`request ${request}: ${why}`, CpuSet.empty, false);
  const held = all.minus(free);
  if (!held.isEmpty)
    return shortfall(
      `request ${request}: the scheduler has chosen CPUs ${held.toString()}, which are not free yet`,
      held,
      true,
    );
  if (wish.policy.cores !== "isolated" || wish.cpuset !== undefined) return { kind: "taken", cpus, idle: CpuSet.empty };
  const [running, idle] = oneThreadACore(offer, all);
  return { kind: "taken", cpus: new Map([...cpus].map(([result, set]) => [result, set.intersect(running)])), idle };
}

/** Exactly the CPUs named; each device of the request gives those that are its own. */
function exact(
  request: string,
  cpuset: CpuSet,
  results: readonly OwnResult[],
  offer: Offer,
  own: CpuSet,
  free: CpuSet,
): Taken | NotChosen {
  const why = exactFault(cpuset, results, offer, own);
  if (why !== "") return shortfall(`request ${request}: ${why}`, CpuSet.empty, false);
  const held = cpuset.minus(free);
  if (!held.isEmpty)
    return shortfall(
      `request ${request}: CPUs ${held.toString()} of its cpuset ${cpuset.toString()} are not free`,
      held,
      true,
    );
  let left = cpuset;
  const cpus = new Map<OwnResult, CpuSet>();
  for (const result of results) {
    const part = left.intersect(offer.candidates.get(result.device) ?? CpuSet.empty).lowest(result.count);
    left = left.minus(part);
    cpus.set(result, part);
  }
  return { kind: "taken", cpus, idle: CpuSet.empty };
}

/** The lowest thread of each core runs, its siblings are idle. */
function oneThreadACore({ machine }: Offer, cpus: CpuSet): [running: CpuSet, idle: CpuSet] {
  const running = CpuSet.union(machine.cores.map((core) => core.cpus.intersect(cpus).lowest(1)));
  return [running, cpus.minus(running)];
}

function hasConditions({ policy }: Wish): boolean {
  return policy.cores !== "any" || policy.l3 === "require" || policy.coreType !== "any";
}

function shortfall(because: string, among: CpuSet, mayWait: boolean): NotChosen {
  return { kind: "shortfall", because, among, mayWait };
}
