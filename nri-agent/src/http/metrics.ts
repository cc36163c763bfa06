import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { Counter, Gauge, type GaugeConfiguration, Histogram, Registry } from "prom-client";
import type { CounterName } from "../enforce/ports.ts";
import type { SessionReport, Tally } from "../enforce/view.ts";

const HOOK_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1, 2];

const MOVE_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30];

/** What is read at each scrape. */
export interface AgentReadings {
  session(): SessionReport;
  sharedCpus(): number;
  heldCpus(): number;
  mismatched(): number;
  findings(): readonly Finding[];
}

/** The agent's metrics. Label sets are closed: methods of NRI, session states, refusal reasons. */
export class AgentMetrics {
  readonly registry = new Registry();
  readonly #counters: Readonly<Record<CounterName, Counter>>;
  readonly #refusals: Counter<"reason">;
  readonly #hooks: Histogram<"hook">;
  readonly #moves: Histogram;
  readonly #tally = { escapes: 0, repairs: 0, refusals: 0, lostUpdates: 0 };

  constructor(version: string, read: AgentReadings) {
    const { session } = read;
    const registers = [this.registry];
    const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
    this.#counters = {
      escapes: counter("dra_cpu_agent_escapes_total", "Containers found running on CPUs outside their mask"),
      repairs: counter("dra_cpu_agent_repairs_total", "Containers put back inside their mask"),
      lostUpdates: counter("dra_cpu_agent_lost_updates_total", "Updates that the runtime did not take"),
      maskFailures: counter("dra_cpu_agent_mask_failures_total", "Masks that the kernel did not take"),
      partitionFailures: counter("dra_cpu_agent_partition_failures_total", "cpuset partitions that the kernel refused"),
    };
    this.#refusals = new Counter({
      name: "dra_cpu_agent_refusals_total",
      help: "Containers refused, by reason",
      labelNames: ["reason"],
      registers,
    });
    this.#hooks = new Histogram({
      name: "dra_cpu_agent_hook_duration_seconds",
      help: "Time inside a hook, from the decoded request to the encoded answer",
      labelNames: ["hook"],
      buckets: HOOK_BUCKETS,
      registers,
    });
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
    gauge("dra_cpu_agent_nri_synchronized", "1 while the NRI session is synchronized", () =>
      Number(session().state === "synchronized"),
    );
    gauge("dra_cpu_agent_nri_connections", "NRI sessions since the start", () => session().connections);
    gauge(
      "dra_cpu_agent_nri_state_seconds",
      "How long the NRI session has been in its state",
      () => (Date.now() - session().since) / 1000,
    );
    gauge("dra_cpu_agent_shared_pool_cpus", "CPUs of the shared pool", read.sharedCpus);
    gauge("dra_cpu_agent_held_cpus", "CPUs that belong to claims", read.heldCpus);
    gauge(
      "dra_cpu_agent_mismatched_containers",
      "Containers that the kernel may run on CPUs which they should not have",
      read.mismatched,
    );
    labelled({
      name: "dra_cpu_agent_findings",
      help: "What is wrong now, by code (docs/codes.md)",
      labelNames: ["code", "severity"],
      registers,
      collect() {
        this.reset();
        for (const { code } of read.findings()) this.inc({ code: code.id, severity: code.severity });
      },
    });
    this.#moves = new Histogram({
      name: "dra_cpu_agent_pool_move_seconds",
      help: "Time from a change of the shared pool until no container was read outside its mask",
      buckets: MOVE_BUCKETS,
      registers,
    });
    labelled({
      name: "dra_cpu_agent_build_info",
      help: "1, with the version",
      labelNames: ["version"],
      registers,
    }).set({ version }, 1);
  }

  count(name: CounterName): void {
    this.#counters[name].inc();
    if (name === "escapes" || name === "repairs" || name === "lostUpdates") this.#tally[name] += 1;
  }

  refused(reason: string): void {
    this.#refusals.inc({ reason });
    this.#tally.refusals += 1;
  }

  moved(seconds: number): void {
    this.#moves.observe(seconds);
  }

  hook(method: string, seconds: number): void {
    this.#hooks.observe({ hook: method }, seconds);
  }

  tally(): Tally {
    return this.#tally;
  }
}
