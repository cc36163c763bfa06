import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

const CPU_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const SECONDS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The driver's metrics. The first eight have the reference driver's names and meanings. */
export class DriverMetrics {
  readonly registry = new Registry();
  readonly #prepared: Counter<"result">;
  readonly #unprepared: Counter<"result">;
  readonly #eventsDropped: Counter;
  readonly #seconds: Histogram;
  readonly #cpus: Histogram;

  constructor(
    version: string,
    read: { allocated(): number; available(): number; reserved(): number; claims(): number; ready(): boolean },
  ) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
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
    gauge("dra_cpu_driver_ready", "1 while nothing keeps this driver from preparing claims", () =>
      Number(read.ready()),
    );
    new Gauge({
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

  eventDropped(): void {
    this.#eventsDropped.inc();
  }

  unprepared(result: "success" | "error"): void {
    this.#unprepared.inc({ result });
  }
}
