import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { Counter, Gauge, type GaugeConfiguration, Histogram, Registry } from "prom-client";
import type { Stock } from "../picture/stock.ts";

const CPU_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const SECONDS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Claims that have a series of their own, where that is asked for. */
const MAX_CLAIM_SERIES = 200;

/** What is read at each scrape. */
export interface DriverReadings {
  allocated(): number;
  available(): number;
  reserved(): number;
  claims(): number;
  ready(): boolean;
  /** By NUMA node and by L3 cache. */
  stock(): { readonly numaNodes: readonly Stock[]; readonly l3s: readonly Stock[] };
  /** What is wrong now. */
  findings(): readonly Finding[];
  agentConnected(): boolean;
  published(): boolean;
  /** Empty where claims are to have no series. */
  claimSizes(): readonly { readonly namespace: string; readonly name: string; readonly cpus: number }[];
}

/** The driver's metrics. The first eight have the reference driver's names and meanings. */
export class DriverMetrics {
  readonly registry = new Registry();
  readonly #prepared: Counter<"result">;
  readonly #unprepared: Counter<"result">;
  readonly #eventsDropped: Counter;
  readonly #seconds: Histogram;
  readonly #cpus: Histogram;
  readonly #calls: Histogram<"method" | "result">;

  constructor(version: string, read: DriverReadings) {
    const registers = [this.registry];
    const labelled = (of: GaugeConfiguration<string>): Gauge => new Gauge(of);
    const gauge = (name: string, help: string, value: () => number): Gauge =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    gauge("dra_cpu_allocated_cpus", "CPUs of claims", read.allocated);
    gauge("dra_cpu_available_cpus", "CPUs that are neither reserved nor a claim's", read.available);
    gauge("dra_cpu_reserved_cpus", "Reserved CPUs", read.reserved);
    gauge("dra_cpu_resource_claims_active", "Claims that hold CPUs", read.claims);
    this.#prepared = new Counter({
      name: "dra_cpu_prepare_claims_total",
      help: "Prepared claims",
      labelNames: ["result"],
      registers,
    });
    this.#unprepared = new Counter({
      name: "dra_cpu_unprepare_claims_total",
      help: "Unprepared claims",
      labelNames: ["result"],
      registers,
    });
    for (const result of ["success", "error"]) {
      this.#prepared.inc({ result }, 0);
      this.#unprepared.inc({ result }, 0);
    }
    this.#eventsDropped = new Counter({
      name: "dra_cpu_events_dropped_total",
      help: "Kubernetes Events that were not written: over their budget, or refused by the API server",
      registers,
    });
    this.#seconds = new Histogram({
      name: "dra_cpu_prepare_claim_duration_seconds",
      help: "Time to prepare a claim, waiting included",
      buckets: SECONDS_BUCKETS,
      registers,
    });
    this.#cpus = new Histogram({
      name: "dra_cpu_claim_allocated_cpus",
      help: "CPUs of a newly prepared claim",
      buckets: CPU_BUCKETS,
      registers,
    });
    labelled({
      name: "dra_cpu_numa_node_cpus",
      help: "CPUs by NUMA node and use: free for claims, held by claims, withheld (reserved, or kept for the shared pool)",
      labelNames: ["numa_node", "use"],
      registers,
      collect() {
        this.reset();
        for (const { id, ...uses } of read.stock().numaNodes)
          for (const use of ["free", "held", "withheld"] as const) this.set({ numa_node: id, use }, uses[use]);
      },
    });
    labelled({
      name: "dra_cpu_l3_free_cpus",
      help: "CPUs of each L3 cache that claims may take",
      labelNames: ["l3"],
      registers,
      collect() {
        this.reset();
        for (const { id, free } of read.stock().l3s) this.set({ l3: id }, free);
      },
    });
    gauge("dra_cpu_largest_free_cpus", "Most CPUs that are free in one NUMA node", () =>
      Math.max(0, ...read.stock().numaNodes.map((one) => one.free)),
    );
    labelled({
      name: "dra_cpu_findings",
      help: "What is wrong now, by code (docs/codes.md)",
      labelNames: ["code", "severity"],
      registers,
      collect() {
        this.reset();
        for (const { code } of read.findings()) this.inc({ code: code.id, severity: code.severity });
      },
    });
    labelled({
      name: "dra_cpu_claim_cpus",
      help: "CPUs of each claim, with claimMetrics alone",
      labelNames: ["namespace", "claim"],
      registers,
      collect() {
        this.reset();
        for (const { namespace, name, cpus } of read.claimSizes().slice(0, MAX_CLAIM_SERIES))
          this.set({ namespace, claim: name }, cpus);
      },
    });
    gauge("dra_cpu_claim_series_dropped", "Claims without a series of their own, with claimMetrics alone", () =>
      Math.max(0, read.claimSizes().length - MAX_CLAIM_SERIES),
    );
    gauge("dra_cpu_agent_connected", "1 while the agent holds this driver's claims", () =>
      Number(read.agentConnected()),
    );
    gauge("dra_cpu_slices_published", "1 while the node's ResourceSlices are as they should be", () =>
      Number(read.published()),
    );
    this.#calls = new Histogram({
      name: "dra_cpu_agent_call_duration_seconds",
      help: "Time of calls to the agent, waiting included",
      labelNames: ["method", "result"],
      buckets: SECONDS_BUCKETS,
      registers,
    });
    gauge("dra_cpu_driver_ready", "1 while nothing keeps this driver from preparing claims", () =>
      Number(read.ready()),
    );
    labelled({
      name: "dra_cpu_driver_build_info",
      help: "1, with the version",
      labelNames: ["version"],
      registers,
    }).set({ version }, 1);
  }

  prepared(result: "success" | "error", seconds: number, cpus: number): void {
    this.#prepared.inc({ result });
    this.#seconds.observe(seconds);
    if (cpus > 0) this.#cpus.observe(cpus);
  }

  called(method: string, result: "success" | "error", seconds: number): void {
    this.#calls.observe({ method, result }, seconds);
  }

  eventDropped(): void {
    this.#eventsDropped.inc();
  }

  unprepared(result: "success" | "error"): void {
    this.#unprepared.inc({ result });
  }
}
