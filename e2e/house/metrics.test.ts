import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DriverMetrics, type DriverReadings } from "@dracpu/driver/http/metrics.ts";
import { AgentMetrics } from "@dracpu/nri-agent/http/metrics.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { expect } from "chai";

const DOCUMENT = join(import.meta.dirname, "..", "..", "docs", "metrics.md");
/** Of the reference driver, whose dashboards go on working. */
const REFERENCE = [
  ...["dra_cpu_allocated_cpus", "dra_cpu_available_cpus", "dra_cpu_reserved_cpus", "dra_cpu_resource_claims_active"],
  ...["dra_cpu_prepare_claims_total", "dra_cpu_unprepare_claims_total"],
  ...["dra_cpu_prepare_claim_duration_seconds", "dra_cpu_claim_allocated_cpus"],
];

interface Described {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames?: readonly string[];
}

const readings = (claims: number): DriverReadings => ({
  allocated: () => claims,
  available: () => 10,
  reserved: () => 1,
  claims: () => claims,
  ready: () => true,
  stock: () => ({
    numaNodes: [{ id: 0, free: 5, held: claims, withheld: 1 }],
    l3s: [{ id: 0, free: 5, held: 0, withheld: 1 }],
  }),
  findings: () => [{ code: CODES.agentAway, text: "x" }],
  agentConnected: () => true,
  published: () => true,
  claimSizes: () => Array.from({ length: claims }, (_, n) => ({ namespace: "a", name: `c${n}`, cpus: 2 })),
});
const agent = (): AgentMetrics =>
  new AgentMetrics("0", {
    session: () => ({ state: "synchronized", since: 0, why: "", canUpdate: true, connections: 1, hasNoSocket: false }),
    sharedCpus: () => 1,
    heldCpus: () => 1,
    mismatched: () => 0,
    findings: () => [],
  });

function table(metrics: { readonly registry: { getMetricsAsArray(): unknown[] } }): string {
  const rows = (metrics.registry.getMetricsAsArray() as Described[])
    .filter((one) => one.name.startsWith("dra_cpu_"))
    .map(({ name, help, type, labelNames = [] }) => `| \`${name}\` | ${type} | ${labelNames.join(", ")} | ${help} |`);
  return ["| metric | type | labels | |", "|---|---|---|---|", ...rows].join("\n");
}

const series = async (metrics: DriverMetrics): Promise<string[]> =>
  (await metrics.registry.metrics()).split("\n").filter((line) => line.startsWith("dra_cpu_"));

describe("the metrics", () => {
  it("have a document that says the same", () => {
    const text = [
      "# Metrics",
      "",
      "On `/metrics` of both programs (`:8080` the driver, `:8081` the agent), beside those of every Node program. Labels take values from closed sets; those of claims exist with `claimMetrics` alone. Alerts and a dashboard are in the chart (`alerts.enabled`, `dashboard.enabled`).",
      "",
      "## Driver",
      "",
      table(new DriverMetrics("0", readings(0))),
      "",
      "## Agent",
      "",
      table(agent()),
      "",
    ].join("\n");
    // `DRACPU_WRITE=1 npm run check:house` writes it anew.
    if (process.env["DRACPU_WRITE"] !== undefined) writeFileSync(DOCUMENT, text);
    expect(readFileSync(DOCUMENT, "utf8")).to.equal(text);
  });

  it("keep the reference driver's names", () => {
    const names = new DriverMetrics("0", readings(0)).registry.getMetricsAsArray().map((one) => one.name);
    expect(REFERENCE.filter((name) => !names.includes(name))).to.deep.equal([]);
  });

  it("are as many after 1,000 claims as before, and at most 200 more where each has its own", async () => {
    let claims = 0;
    const now = readings(0);
    const without = new DriverMetrics("0", { ...now, claimSizes: () => [] });
    const before = (await series(without)).length;
    for (let n = 0; n < 1000; n++) {
      without.prepared("success", 0.01, 2);
      without.unprepared("success");
    }
    expect((await series(without)).length).to.equal(before);
    const each = new DriverMetrics("0", { ...now, claimSizes: () => readings(claims).claimSizes() });
    claims = 1000;
    const many = (await series(each)).filter((line) => line.startsWith("dra_cpu_claim_cpus{"));
    expect(many.length).to.equal(200);
    expect((await series(each)).find((line) => line.startsWith("dra_cpu_claim_series_dropped"))).to.match(/ 800$/);
    claims = 0;
    expect((await series(each)).filter((line) => line.startsWith("dra_cpu_claim_cpus{"))).to.deep.equal([]);
  });
});
