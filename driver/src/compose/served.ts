import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { PreparerOptions } from "../prepare/preparer.ts";
import type { ClaimStatus } from "../report/claimstatus.ts";
import type { EventApi } from "../report/ports.ts";
import { claimNamed, type Reporter } from "../report/reporter.ts";
import { tellUnknownRequests } from "../report/requests.ts";

/** What people are told of a claim that has got its CPUs. */
export function tellServed(o: {
  readonly status: ClaimStatus;
  readonly api: EventApi;
  readonly reporter: Reporter;
  readonly log: LogWriter;
  readonly signal: AbortSignal;
}): PreparerOptions["onServed"] {
  let blind = false;
  return (claim, entry) => {
    const { results, shares } = entry;
    o.status.tell(claim ?? { metadata: entry.claim }, results, shares, o.signal);
    const cpus = CpuSet.union(shares.map((share) => share.cpus)).toString();
    o.reporter.tell(claimNamed(entry.claim), "Prepared", `Has CPUs ${cpus} alone`, o.signal);
    // Requests of other drivers are not known then.
    if (claim === undefined) return;
    tellUnknownRequests(claim, o.api, o.reporter, o.signal).catch((cause: unknown) => {
      // Said once; each Prepare would say it again.
      const why = (cause as Error).message;
      if (!blind)
        o.log.warn("the pods of claims cannot be looked at; nobody is told of misspelt requests", { cause: why });
      blind = true;
    });
  };
}
