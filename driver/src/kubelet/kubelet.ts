import { closeSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  DRAPlugin,
  NodePrepareResourcesResponseSchema,
  NodeUnprepareResourcesResponseSchema,
  type NodePrepareResourcesRequest,
  type NodePrepareResourcesResponse,
  type NodeUnprepareResourcesRequest,
  type NodeUnprepareResourcesResponse,
} from "@dracpu/shared-proto/gen/kubelet/dra_v1_pb.ts";
import { DRAResourceHealth } from "@dracpu/shared-proto/gen/kubelet/dra_health_v1alpha1_pb.ts";
import {
  PluginInfoSchema,
  Registration,
  RegistrationStatusResponseSchema,
  type InfoRequest,
  type PluginInfo,
  type RegistrationStatus,
  type RegistrationStatusResponse,
} from "@dracpu/shared-proto/gen/kubelet/pluginregistration_v1_pb.ts";
import { checkSocketPath } from "@dracpu/shared-proto/socket/path.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { status, type Server, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import type { DraPlugin, PrepareLog } from "../prepare/ports.ts";
import { serviceDefinition } from "./grpc.ts";
import { hidden, isDirectoryGone, isThere, listenOn, unlink, type Listening } from "./sockets.ts";
import { watchHealth, type HealthCall, type HealthSource } from "./health.ts";

const CHECK_SOCKETS_MS = 1000;
/** For answers that were given and are not written yet. */
const FLUSH_MS = 1000;

export interface KubeletOptions {
  /** As the kubelet sees it, such as /var/lib/kubelet. */
  readonly rootDir: string;
  readonly driver: string;
  readonly plugin: DraPlugin;
  readonly health: HealthSource;
  readonly log: PrepareLog;
  /** The kubelet asked who we are: it has just started, or our socket is new to it; it may have deleted our slices. */
  onContact(): void;
}

export interface KubeletState {
  readonly registered: boolean;
  readonly why: string;
}

/**
 * The kubelet's two services: the DRA plugin's, and the registration of it. Sockets that are deleted under us are made again.
 */
export class Kubelet {
  readonly #o: KubeletOptions;
  readonly #draPath: string;
  readonly #regPath: string;
  #dra: Listening | undefined;
  #reg: Listening | undefined;
  #state: KubeletState = { registered: false, why: "the kubelet has not asked for this driver yet" };
  readonly #stopping = new AbortController();

  /** @throws Error with a sentence where a socket path is too long. */
  constructor(options: KubeletOptions) {
    this.#o = options;
    this.#draPath = join(options.rootDir, "plugins", options.driver, "dra.sock");
    this.#regPath = join(options.rootDir, "plugins_registry", `${options.driver}-reg.sock`);
    for (const path of [this.#draPath, this.#regPath]) checkSocketPath(hidden(path), "--kubelet-root-dir");
  }

  state(): KubeletState {
    return this.#state;
  }

  async start(): Promise<void> {
    mkdirSync(join(this.#o.rootDir, "plugins", this.#o.driver), { recursive: true, mode: 0o750 });
    mkdirSync(join(this.#o.rootDir, "plugins_registry"), { recursive: true, mode: 0o750 });
    this.#dra = await listenOn(this.#draPath, (server) => this.#serveDra(server));
    this.#reg = await listenOn(this.#regPath, (server) => this.#serveRegistration(server));
    void this.#watch();
  }

  /**
   * Calls under way are answered before anything is taken away: a socket that goes lets the kubelet drop its connection. New Prepares are refused
   * in words meanwhile.
   */
  async stop(): Promise<void> {
    await this.#o.plugin.stop();
    this.#stopping.abort();
    if (this.#reg !== undefined) {
      unlink(this.#reg);
      this.#reg.server.forceShutdown();
    }
    const dra = this.#dra;
    if (dra === undefined) return;
    unlink(dra);
    const flushed = new AbortController();
    await Promise.race([
      new Promise<void>((resolve) => {
        dra.server.tryShutdown(() => resolve());
      }),
      pause(FLUSH_MS, flushed.signal),
    ]);
    flushed.abort();
    dra.server.forceShutdown();
  }

  /** The kubelet serves on over an open connection to a socket whose file is gone, but a restarted one would not find it. */
  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    let said = "";
    while (!signal.aborted) {
      await pause(CHECK_SOCKETS_MS, signal);
      if (signal.aborted) return;
      try {
        if (this.#dra !== undefined && !isThere(this.#dra))
          this.#dra = await this.#again(this.#dra, (server) => this.#serveDra(server));
        if (this.#reg !== undefined && !isThere(this.#reg))
          this.#reg = await this.#again(this.#reg, (server) => this.#serveRegistration(server));
        said = "";
      } catch (cause) {
        const why = (cause as Error).message;
        if (why !== said) this.#o.log.error("a socket for the kubelet cannot be made again; trying on", { cause: why });
        said = why;
        if (this.#reg !== undefined && !isThere(this.#reg)) this.#state = { registered: false, why };
      }
    }
  }

  async #again(lost: Listening, serve: (server: Server) => void): Promise<Listening> {
    const isBlind = isDirectoryGone(lost);
    const why = isBlind
      ? "its directory was deleted too, and the kubelet looks into a new one only after a restart"
      : "";
    const directory = dirname(lost.path);
    mkdirSync(directory, { recursive: true, mode: 0o750 });
    const made = await listenOn(lost.path, serve).catch((cause: unknown) => {
      // In a pod the directory that was deleted is mounted still, and nothing can be made in it.
      const remedy = `${directory} was deleted on the node: replace this driver's pod, and restart the kubelet`;
      throw isBlind ? new Error(`${remedy} (${(cause as Error).message})`, { cause }) : cause;
    });
    this.#o.log.warn("a socket for the kubelet was deleted or replaced by somebody; it is made again", {
      path: lost.path,
      why,
    });
    closeSync(lost.directory);
    // Connections to the lost one go on; it takes no new ones, and ends when the kubelet lets go of it.
    lost.server.tryShutdown(() => {});
    // The kubelet forgets a driver whose registration socket goes, and asks for the new one when it sees it.
    if (lost.path === this.#regPath)
      this.#state = {
        registered: false,
        why: isBlind
          ? `the kubelet cannot see this driver, since ${directory} was deleted and made anew: restart the kubelet`
          : "the kubelet has not asked for this driver again yet, whose registration socket was deleted",
      };
    return made;
  }

  #serveRegistration(server: Server): void {
    server.addService(serviceDefinition(Registration), {
      getInfo: (_call: ServerUnaryCall<InfoRequest, PluginInfo>, reply: sendUnaryData<PluginInfo>) => {
        this.#o.onContact();
        reply(
          null,
          create(PluginInfoSchema, {
            type: "DRAPlugin",
            name: this.#o.driver,
            endpoint: this.#draPath,
            supportedVersions: ["v1.DRAPlugin"],
          }),
        );
      },
      notifyRegistrationStatus: (
        call: ServerUnaryCall<RegistrationStatus, RegistrationStatusResponse>,
        reply: sendUnaryData<RegistrationStatusResponse>,
      ) => {
        this.#notified(call.request);
        reply(null, create(RegistrationStatusResponseSchema));
      },
    });
  }

  #notified({ pluginRegistered, error }: RegistrationStatus): void {
    const why = pluginRegistered ? "" : `the kubelet refused this driver: ${error}`;
    if (pluginRegistered) this.#o.log.info("registered with the kubelet");
    else if (why !== this.#state.why)
      this.#o.log.error("the kubelet refused the registration; it tries again by itself", { cause: error });
    this.#state = { registered: pluginRegistered, why };
    this.#o.onContact();
  }

  #serveDra(server: Server): void {
    server.addService(serviceDefinition(DRAPlugin), {
      nodePrepareResources: (
        call: ServerUnaryCall<NodePrepareResourcesRequest, NodePrepareResourcesResponse>,
        reply: sendUnaryData<NodePrepareResourcesResponse>,
      ) => {
        this.#answer(reply, async () => {
          const outcomes = await this.#o.plugin.prepare(call.request.claims, cancellation(call));
          return create(NodePrepareResourcesResponseSchema, {
            claims: Object.fromEntries(
              [...outcomes].map(([uid, outcome]) => [
                uid,
                outcome.kind === "refused"
                  ? { error: outcome.message }
                  : {
                      devices: outcome.devices.map((device) => ({
                        requestNames: [...device.requestNames],
                        poolName: device.pool,
                        deviceName: device.device,
                        cdiDeviceIds: [...device.cdiDeviceIds],
                        ...(device.shareId === undefined ? {} : { shareId: device.shareId }),
                      })),
                    },
              ]),
            ),
          });
        });
      },
      nodeUnprepareResources: (
        call: ServerUnaryCall<NodeUnprepareResourcesRequest, NodeUnprepareResourcesResponse>,
        reply: sendUnaryData<NodeUnprepareResourcesResponse>,
      ) => {
        this.#answer(reply, async () => {
          const outcomes = await this.#o.plugin.unprepare(call.request.claims, cancellation(call));
          return create(NodeUnprepareResourcesResponseSchema, {
            claims: Object.fromEntries(
              [...outcomes].map(([uid, outcome]) => [uid, { error: outcome.kind === "failed" ? outcome.message : "" }]),
            ),
          });
        });
      },
    });
    // Kubelets with the gate ResourceHealthStatus ask for it, whatever was advertised.
    server.addService(serviceDefinition(DRAResourceHealth), {
      nodeWatchResources: (call: HealthCall) => {
        watchHealth(call, this.#o.health, this.#stopping.signal).catch((cause: unknown) =>
          this.#o.log.warn("a stream of device health ended; the kubelet asks again", {
            cause: (cause as Error).message,
          }),
        );
      },
    });
  }

  #answer<T>(reply: sendUnaryData<T>, run: () => Promise<T>): void {
    run().then(
      (response) => reply(null, response),
      (cause: unknown) => {
        this.#o.log.error("a call of the kubelet failed; this is a defect", {
          cause: (cause as Error).stack ?? String(cause),
        });
        reply({ code: status.INTERNAL, details: (cause as Error).message });
      },
    );
  }
}

function cancellation(call: { on(event: "cancelled", listener: () => void): unknown }): AbortSignal {
  const controller = new AbortController();
  call.on("cancelled", () => controller.abort());
  return controller.signal;
}
