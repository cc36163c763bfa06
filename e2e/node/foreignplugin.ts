import { create } from "@bufbuild/protobuf";
import { Runtime } from "@dracpu/nri-agent/runtime/runtime.ts";
import {
  CreateContainerResponseSchema,
  StopContainerResponseSchema,
  UpdateContainerResponseSchema,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { until } from "../kit/node/processes.ts";

/** An NRI plugin that is none of ours, and sets a cpuset for every container that is created. It is asked before the agent is. */
export class ForeignPlugin {
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  readonly #runtime: Runtime;

  constructor(socketPath: string, cpus: string) {
    const nothing = (): void => {};
    const silent = { info: nothing, warn: nothing, error: nothing };
    let ids = 0;
    this.#runtime = new Runtime({
      socketPath,
      pluginName: "someone-else",
      pluginIndex: "01",
      log: silent,
      onHook: nothing,
      onChange: nothing,
      newId: () => String((ids += 1)),
      random: Math.random,
      hooks: {
        sessionConfigured: nothing,
        synchronize: () => Promise.resolve([]),
        createContainer: () =>
          create(CreateContainerResponseSchema, { adjust: { linux: { resources: { cpu: { cpus } } } } }),
        postCreateContainer: nothing,
        startContainer: () => Promise.resolve(),
        postStartContainer: nothing,
        updateContainer: () => create(UpdateContainerResponseSchema),
        postUpdateContainer: nothing,
        stopContainer: () => create(StopContainerResponseSchema),
        removeContainer: nothing,
        sessionClosed: nothing,
      },
    });
    this.#running = this.#runtime.run(this.#ending.signal);
  }

  async connected(): Promise<void> {
    await until("the other plugin is connected", () => this.#runtime.report().state === "synchronized", 20_000);
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }
}
