import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import type { DriverSettings } from "../config/settings.ts";
import type { DriverReadings } from "../http/metrics.ts";
import { cpusOf, type Ledger } from "../ledger/ledger.ts";
import { stockOf } from "../picture/stock.ts";
import type { MachineParts } from "./machine.ts";

/** What the metrics are read from. */
export function readingsOf(o: {
  readonly ledger: Ledger;
  readonly settings: DriverSettings;
  parts(): MachineParts;
  findings(): readonly Finding[];
  agentConnected(): boolean;
  published(): boolean;
}): DriverReadings {
  const { ledger, settings } = o;
  const active = (): ReturnType<Ledger["entries"]> => ledger.entries().filter((entry) => entry.phase !== "draining");
  return {
    allocated: () => ledger.held().size,
    available: () => o.parts().machine.online.minus(settings.reservedCPUs).minus(ledger.held()).size,
    reserved: () => settings.reservedCPUs.size,
    claims: () => active().length,
    ready: () => o.findings().every(({ code }) => code.severity === "warning"),
    stock: () => {
      const { machine, plan } = o.parts();
      return stockOf(machine, ledger.held(), settings.reservedCPUs.union(plan.keepShared));
    },
    findings: () => o.findings(),
    agentConnected: () => o.agentConnected(),
    published: () => o.published(),
    claimSizes: () =>
      settings.claimMetrics
        ? active().map((entry) => ({
            namespace: entry.claim.namespace,
            name: entry.claim.name,
            cpus: cpusOf(entry).size,
          }))
        : [],
  };
}
