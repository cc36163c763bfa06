import { cdiId } from "../cdi/spec.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { OwnResult, Wanted } from "../claims/decide.ts";
import { cpusOf, type Entry } from "../ledger/ledger.ts";
import type { PreparedDevice } from "./ports.ts";

/** "" where the results are those that were prepared; an entry rebuilt from files has shares and a total to compare only. */
export function differs(known: Entry, results: readonly OwnResult[]): string {
  const text = (all: readonly OwnResult[]): string =>
    all
      .filter(({ count }) => count > 0)
      .map(({ request, device, count }) => `${request}=${device}:${count}`)
      .sort()
      .join(" ");
  if (known.results.length > 0) {
    const [had, has] = [text(known.results), text(results)];
    return had === has ? "" : `it is prepared as ${had}, and its allocation now says ${has}`;
  }
  const total = results.reduce((sum, { count }) => sum + count, 0);
  const strangers = known.shares.filter(
    (share) =>
      share.request !== "" &&
      !results.some((one) => one.request === share.request && one.device === share.device && one.count > 0),
  );
  if (total === cpusOf(known).size && strangers.length === 0) return "";
  const had = known.shares.map(({ request, device, cpus }) => `${request}=${device}:${cpus.size}`).join(" ");
  return `it holds ${cpusOf(known).size} CPUs as ${had}, and its allocation now says ${text(results)}`;
}

/** What the kubelet is told: each request's CDI device once, with its first device that has CPUs. */
export function devicesOf({
  claim: { uid },
  shares,
  results,
}: Pick<Entry, "claim" | "shares" | "results">): PreparedDevice[] {
  const seen = new Set<string>();
  // A claim of the reference driver keeps its one device.
  const whole = shares.some((share) => share.request === "");
  return results.map((result) => {
    const first = result.count > 0 && !seen.has(result.request);
    seen.add(result.request);
    return {
      requestNames: [result.request],
      pool: result.pool,
      device: result.device,
      cdiDeviceIds: first ? [cdiId(uid, whole ? "" : result.request)] : [],
      shareId: result.shareId,
    };
  });
}

/** Admin access looks at devices and takes nothing: no CPUs, no file, nothing for the agent. */
export function looking({ claim, consumers, results }: Wanted, operationId: string): Entry {
  return { claim, phase: "prepared", consumers, shares: [], idle: CpuSet.empty, isolated: false, results, operationId };
}
