import { existsSync, readFileSync } from "node:fs";
import { RealNode } from "../kit/node/node.ts";
import { Pair, SOURCES } from "../kit/node/pair.ts";
import { until } from "../kit/node/processes.ts";
import { NodePods } from "./nodepods.ts";
import { claimTemplate, DEVICE_CLASS } from "./objects.ts";

export { until };
export type { Place, Seen } from "./nodepods.ts";

/** The suite's one node and pair, and the things that tests do with them. */
export class World extends NodePods {
  readonly pair: Pair;
  isStopped = false;

  constructor() {
    super(new RealNode({ syncFrequency: "10s" }));
    // Much else runs on this machine; one test asks for it.
    this.pair = new Pair(this.node, { ...SOURCES, agentFlags: ["--foreign-load", "0"] });
  }

  async start(): Promise<void> {
    const ms = await this.node.start();
    console.log(`    node Ready in ${(ms / 1000).toFixed(1)} s`);
    await this.pair.start();
    await this.node.apply(
      DEVICE_CLASS,
      claimTemplate("one", "1"),
      claimTemplate("half", "500m"),
      claimTemplate("many", "64"),
      claimTemplate("pair", "1", "1"),
    );
  }

  async removeAll(): Promise<void> {
    await this.node.kubectl("delete", "pods", "--all", "--wait=true", "--timeout=60s");
    await until(
      "no CPU is held",
      async () => ((await this.pair.state<{ pool?: { held?: string } }>()).pool?.held ?? "") === "",
      20_000,
    );
  }

  /** The driver's log lines so far, of the driver that runs now. */
  driverLog(): string[] {
    const log = this.pair.driver?.log ?? "";
    return existsSync(log) ? readFileSync(log, "utf8").split("\n") : [];
  }

  /** Waits for a line of the driver's log that is written after this call. */
  async driverSays(text: string, ms = 30_000): Promise<string> {
    const from = Math.max(0, this.driverLog().length - 1);
    return until(
      `the driver says ${text}`,
      () =>
        this.driverLog()
          .slice(from)
          .find((line) => line.includes(text)),
      ms,
      2,
    );
  }

  async stop(): Promise<void> {
    if (this.isStopped) return;
    this.isStopped = true;
    await this.node.stop();
  }
}
