import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { NODE_NAME, type RealNode } from "./node.ts";
import type { Daemon } from "./processes.ts";
import { until } from "./processes.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");

export interface PairOptions {
  /** Programs and their first arguments. */
  readonly argv: { readonly driver: readonly string[]; readonly agent: readonly string[] };
  /** Of the agent, where a start names none. */
  readonly agentFlags?: readonly string[];
  readonly env?: { readonly driver: NodeJS.ProcessEnv; readonly agent: NodeJS.ProcessEnv };
}

export const SOURCES: PairOptions = {
  argv: {
    driver: [process.execPath, join(ROOT, "driver", "src", "main.ts")],
    agent: [process.execPath, join(ROOT, "nri-agent", "src", "main.ts")],
  },
};

/** Driver and agent as processes of a real node's host, from sources unless it is told otherwise. */
export class Pair {
  readonly controlSocket: string;
  readonly inspectSocket: string;
  readonly #node: RealNode;
  readonly #o: PairOptions;
  #generation = 0;
  driver: Daemon | undefined;
  agent: Daemon | undefined;

  constructor(node: RealNode, options = SOURCES) {
    this.#node = node;
    this.#o = options;
    this.controlSocket = join(node.dir, "ctl", "control.sock");
    this.inspectSocket = join(node.dir, "ins", "inspect.sock");
    mkdirSync(join(node.dir, "state"));
  }

  async start(): Promise<void> {
    this.startAgent();
    this.startDriver();
    await this.ready();
  }

  startAgent(...flags: string[]): void {
    this.#generation += 1;
    const argv = [
      ...this.#o.argv.agent,
      "run",
      "--nri-socket",
      this.#node.nriSocket,
      "--control-socket",
      this.controlSocket,
      "--inspect-socket",
      this.inspectSocket,
      "--state-dir",
      join(this.#node.dir, "state", "agent"),
      "--bind-address",
      "127.0.0.1:8081",
      ...(flags.length > 0 ? flags : (this.#o.agentFlags ?? [])),
    ];
    this.agent = this.#node.host(`agent-${this.#generation}`, argv, this.#o.env?.agent);
  }

  startDriver(...flags: string[]): void {
    this.#generation += 1;
    const argv = [
      ...this.#o.argv.driver,
      "run",
      "--kubeconfig",
      this.#node.kubeconfig,
      "--kubelet-root-dir",
      this.#node.kubeletRootDir,
      "--cdi-dir",
      this.#node.cdiDir,
      "--agent-socket",
      this.controlSocket,
      "--inspect-socket",
      this.inspectSocket,
      "--state-dir",
      join(this.#node.dir, "state", "driver"),
      "--node-name",
      NODE_NAME,
      "--bind-address",
      "127.0.0.1:8080",
      ...flags,
    ];
    this.driver = this.#node.host(`driver-${this.#generation}`, argv, this.#o.env?.driver);
  }

  /** Starts again whichever of the two a failed test left dead or stopped. */
  async revive(): Promise<void> {
    this.agent?.signal("SIGCONT");
    if (this.agent?.isAlive() !== true) this.startAgent();
    if (this.driver?.isAlive() !== true) this.startDriver();
    await this.ready();
  }

  /** Both say that nothing keeps them from working. */
  async ready(): Promise<void> {
    for (const port of [8081, 8080]) {
      await until(
        `port ${port} says ready`,
        async () => (await this.probe(port, "readyz")).startsWith("ok\n"),
        30_000,
        100,
      );
    }
  }

  /** Text of a probe or metrics page. */
  probe(port: number, page: string): Promise<string> {
    const code = `fetch("http://127.0.0.1:${port}/${page}").then((r) => r.text()).then((t) => process.stdout.write(t))`;
    return this.#node.run(process.execPath, ["-e", code]);
  }

  /** What `dracpu state -o json` says. */
  async state<T>(): Promise<T> {
    const text = await this.#node.run(process.execPath, [
      join(ROOT, "driver", "src", "main.ts"),
      "state",
      "-o",
      "json",
      "--inspect-socket",
      this.inspectSocket,
    ]);
    return JSON.parse(text) as T;
  }
}
