import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Recording, Seen } from "./observer.ts";

export interface Span {
  readonly from: number;
  readonly to: number;
}

/** What the API server says of pods, and when there was no agent; times as the recording's. */
export interface Facts {
  /** By uid of the pod that a claim is reserved for. Every container of such a pod is the claim's; pods that are not here share. */
  readonly claims: ReadonlyMap<string, { readonly uid: string; readonly cpus: number }>;
  /** From the loss of the agent's session to the runtime's next Synchronize, the runtime's own wait included. */
  readonly away: readonly Span[];
}

/** A shared container on a CPU where a claim's container ran. */
export interface Episode extends Span {
  readonly who: string;
  /** Milliseconds, without those in which the observer did not look. */
  readonly ms: number;
  /** Milliseconds after the agent was back; `undefined` where it was there all the time. */
  readonly afterReturn: number | undefined;
}

export interface Verdict {
  /** Promises that were broken: a CPU used by two claims, or a claim's container that ran unpinned or was moved. */
  readonly failures: readonly string[];
  readonly episodes: readonly Episode[];
  /** Claims' containers, and other ones, that ran. */
  readonly claimed: number;
  readonly shared: number;
}

/** What was the case of a container over a time: surely until `sure`, at most until `to`. */
interface State extends Span {
  readonly sure: number;
  readonly seen: Seen;
  readonly claim: { readonly uid: string; readonly cpus: number } | undefined;
  readonly reach: CpuSet;
}

/** The most a shared container may be on a claim's CPUs while the agent is there. */
export const MOST_MS = 2000;
export const P99_MS = 250;

/** Judges what was seen. Nothing of it comes from the programs that are judged. */
export function judge(recording: Recording, facts: Facts): Verdict {
  const states = statesOf(recording, facts);
  const failures = [...unpinned(states), ...twice(states)];
  const running = (isClaim: boolean): number =>
    new Set(states.filter((one) => (one.claim !== undefined) === isClaim).map((one) => one.seen.container)).size;
  return { failures, episodes: episodesOf(states, recording, facts), claimed: running(true), shared: running(false) };
}

/** Sentences for those that lasted too long. */
export function tooLong(episodes: readonly Episode[]): string[] {
  const here = episodes.filter((one) => one.afterReturn === undefined);
  const found = episodes
    .filter((one) => (one.afterReturn ?? one.ms) > MOST_MS)
    .map(
      (one) =>
        `${one.who} for ${one.ms.toFixed(0)} ms, ${(one.afterReturn ?? one.ms).toFixed(0)} of them with the agent there`,
    );
  const p99 = percentile(
    here.map((one) => one.ms),
    99,
  );
  if (p99 > P99_MS) found.push(`p99 of ${here.length} overlaps is ${p99.toFixed(0)} ms, at most ${P99_MS} are allowed`);
  return found;
}

/** Nearest rank; 0 of none. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? 0;
}

/**
 * Threads outside of all pods that might run on a CPU while a claim's container did. What the kernel's partitions promise; masks keep containers off only.
 *
 * @returns a sentence for each thread, and how many looks could have found one.
 */
export function intruders(recording: Recording, facts: Facts): { found: string[]; looks: number } {
  const claimed = statesOf(recording, facts).filter((one) => one.claim !== undefined);
  const looks = recording.strangerLooks.filter(({ from, to }) =>
    claimed.some((one) => one.from <= from && to <= one.sure),
  ).length;
  const found = recording.strangers.flatMap((stranger) => {
    const reach = CpuSet.parse(stranger.allowed);
    const looks = recording.strangerLooks.filter(({ from }) => stranger.from <= from && from <= stranger.to);
    // A look in which it was read, all of it within the time in which the claim's container surely ran.
    const met = claimed.find(
      (one) => one.reach.overlaps(reach) && looks.some(({ from, to }) => one.from <= from && to <= one.sure),
    );
    return met === undefined
      ? []
      : [
          `intruder: thread ${stranger.tid} (${stranger.command}) might run on ${stranger.allowed} while claim ${met.claim?.uid ?? ""} had ${met.reach.toString()} from ${when(met)}`,
        ];
  });
  return { found, looks };
}

/** Only of containers whose own program runs. */
function statesOf(recording: Recording, facts: Facts): State[] {
  const end = recording.end;
  const open = new Map<string, Seen>();
  const states: State[] = [];
  const close = (seen: Seen, sure: number, to: number): void => {
    if (seen.allowed.length === 0 || seen.isSandbox) return;
    const reach = CpuSet.union([seen.cpus, ...seen.allowed].map((text) => CpuSet.parse(text)));
    states.push({ from: seen.t, sure, to, seen, claim: facts.claims.get(seen.podUid), reach });
  };
  for (const seen of recording.seen) {
    const key = `${seen.podUid}/${seen.container}`;
    const before = open.get(key);
    if (before !== undefined) close(before, seen.last, seen.t);
    open.set(key, seen);
  }
  for (const seen of open.values()) close(seen, end, end);
  return states.sort((a, b) => a.from - b.from);
}

function unpinned(states: readonly State[]): string[] {
  const found: string[] = [];
  const first = new Map<string, State>();
  for (const state of states) {
    const { claim } = state;
    if (claim === undefined) continue;
    if (state.reach.size !== claim.cpus)
      found.push(
        `unpinned: container ${name(state)} of a claim of ${claim.cpus} CPUs ran on ${state.reach.toString()} from ${when(state)}: ${state.seen.commands.join("; ")}`,
      );
    // Every container of a claim, restarted ones too, has what the first one had.
    const before = first.get(claim.uid);
    if (before === undefined) first.set(claim.uid, state);
    else if (!before.reach.equals(state.reach))
      found.push(
        `moved: claim ${claim.uid} from ${before.reach.toString()} to ${state.reach.toString()}, container ${name(state)} at ${when(state)}`,
      );
  }
  return found;
}

/** Pairs of states of different claims that surely were at one time. */
function twice(states: readonly State[]): string[] {
  const found: string[] = [];
  for (const [a, b] of pairs(
    states.filter((one) => one.claim !== undefined),
    (one) => one.sure,
  )) {
    if (a.claim?.uid !== b.claim?.uid && a.reach.overlaps(b.reach))
      found.push(
        `twice: CPUs ${a.reach.intersect(b.reach).toString()} by ${name(a)} of claim ${a.claim?.uid ?? ""} and ${name(b)} of claim ${b.claim?.uid ?? ""} at ${when(b)}`,
      );
  }
  return found;
}

function episodesOf(states: readonly State[], recording: Recording, facts: Facts): Episode[] {
  const spans = new Map<string, Span[]>();
  for (const [a, b] of pairs(states, (one) => one.to)) {
    const [shared, claimed] = a.claim === undefined ? [a, b] : [b, a];
    if (shared.claim !== undefined || claimed.claim === undefined || !shared.reach.overlaps(claimed.reach)) continue;
    const who = `${name(shared)} on a CPU of ${name(claimed)}`;
    const span = { from: Math.max(a.from, b.from), to: Math.min(a.to, b.to) };
    const list = spans.get(who) ?? [];
    const last = list.at(-1);
    // One mask after the other that overlaps is one episode.
    if (last !== undefined && span.from <= last.to)
      list[list.length - 1] = { from: last.from, to: Math.max(last.to, span.to) };
    else list.push(span);
    spans.set(who, list);
  }
  return [...spans].flatMap(([who, list]) =>
    list.map((span) => {
      const away = facts.away.filter((one) => one.from < span.to && span.from < one.to);
      const back = Math.max(...away.map((one) => one.to));
      return {
        ...span,
        who,
        ms: length(span, recording),
        afterReturn: away.length === 0 ? undefined : length({ from: Math.min(back, span.to), to: span.to }, recording),
      };
    }),
  );
}

/** Without the observer's own stalls. */
function length(span: Span, { stalls }: Recording): number {
  const lost = stalls.reduce(
    (sum, one) => sum + Math.max(0, Math.min(one.to, span.to) - Math.max(one.from, span.from)),
    0,
  );
  return span.to - span.from - lost;
}

/** All pairs whose times meet, by the end that counts; the states are in order of their beginning. */
function* pairs(states: readonly State[], endOf: (one: State) => number): Generator<[State, State]> {
  let living: State[] = [];
  for (const state of states) {
    living = living.filter((one) => endOf(one) > state.from);
    for (const one of living) if (one.seen.container !== state.seen.container) yield [one, state];
    living.push(state);
  }
}

function name({ seen }: State): string {
  return `${seen.podUid}/${seen.container.slice(0, 8)}`;
}

function when(state: State): string {
  return `${(state.from / 1000).toFixed(3)} s`;
}
