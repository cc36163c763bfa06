import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import {
  DRAPlugin,
  NodePrepareResourcesRequestSchema,
  NodePrepareResourcesResponseSchema,
  NodeUnprepareResourcesRequestSchema,
  NodeUnprepareResourcesResponseSchema,
  type NodePrepareResourceResponse,
} from "@dracpu/shared-proto/gen/kubelet/dra_v1_pb.ts";
import {
  InfoRequestSchema,
  PluginInfoSchema,
  Registration,
  RegistrationStatusResponseSchema,
  RegistrationStatusSchema,
  type PluginInfo,
} from "@dracpu/shared-proto/gen/kubelet/pluginregistration_v1_pb.ts";
import {
  DRAResourceHealth,
  type DeviceHealth,
  type NodeWatchResourcesResponse,
} from "@dracpu/shared-proto/gen/kubelet/dra_health_v1alpha1_pb.ts";
import { serviceDefinition } from "@dracpu/driver/kubelet/grpc.ts";
import { Client, credentials, type ServiceDefinition } from "@grpc/grpc-js";
import { listens, until } from "../node/processes.ts";

export interface ClaimReference {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

const DRA = serviceDefinition(DRAPlugin);
const REGISTRATION = serviceDefinition(Registration);
const HEALTH = serviceDefinition(DRAResourceHealth);

/** The kubelet's side of both services: finds the registration socket, registers, prepares and unprepares, over the sockets themselves. */
export class FakeKubelet {
  readonly rootDir: string;
  #dra: Client | undefined;
  info: PluginInfo | undefined;

  constructor(rootDir: string) {
    this.rootDir = rootDir;
    for (const name of ["plugins", "plugins_registry"]) mkdirSync(join(rootDir, name), { recursive: true });
  }

  /**
   * Waits for a registration socket, as the kubelet's watcher does, and takes the plugin in, or refuses it with `error`. A socket that a killed
   * plugin left is there before anybody listens on it.
   */
  async register(error = "", ms = 60_000): Promise<PluginInfo> {
    const registry = join(this.rootDir, "plugins_registry");
    const path = await until(
      "a registration socket",
      async () => {
        const name = readdirSync(registry).find((file) => !file.startsWith("."));
        return name !== undefined && (await listens(join(registry, name))) ? join(registry, name) : undefined;
      },
      ms,
      5,
    );
    const client = dial(path);
    try {
      this.info = await call(client, REGISTRATION, "getInfo", InfoRequestSchema, {}, PluginInfoSchema);
      await call(
        client,
        REGISTRATION,
        "notifyRegistrationStatus",
        RegistrationStatusSchema,
        { pluginRegistered: error === "", error },
        RegistrationStatusResponseSchema,
      );
    } finally {
      client.close();
    }
    this.#dra?.close();
    this.#dra = dial(this.info.endpoint);
    return this.info;
  }

  /** One NodePrepareResources with one claim. */
  async prepare(claim: ClaimReference): Promise<NodePrepareResourceResponse> {
    const answer = await call(
      this.#client(),
      DRA,
      "nodePrepareResources",
      NodePrepareResourcesRequestSchema,
      { claims: [claim] },
      NodePrepareResourcesResponseSchema,
    );
    const outcome = answer.claims[claim.uid];
    if (outcome === undefined) throw new Error(`no answer for the claim ${claim.uid}`);
    return outcome;
  }

  /** @returns the error, "" for none. */
  async unprepare(claim: ClaimReference): Promise<string> {
    const answer = await call(
      this.#client(),
      DRA,
      "nodeUnprepareResources",
      NodeUnprepareResourcesRequestSchema,
      { claims: [claim] },
      NodeUnprepareResourcesResponseSchema,
    );
    const outcome = answer.claims[claim.uid];
    if (outcome === undefined) throw new Error(`no answer for the claim ${claim.uid}`);
    return outcome.error;
  }

  /** Opens a stream of device health. @returns what came last, and its end. */
  watchHealth(): { last(): readonly DeviceHealth[]; close(): void } {
    const { nodeWatchResources: method } = HEALTH;
    if (method === undefined) throw new Error("no such method");
    const stream = this.#client().makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      (bytes: Buffer) => method.responseDeserialize(bytes) as NodeWatchResourcesResponse,
      {},
    );
    let last: readonly DeviceHealth[] = [];
    stream.on("data", (message: NodeWatchResourcesResponse) => (last = message.devices));
    stream.on("error", () => (last = []));
    return { last: () => last, close: () => stream.cancel() };
  }

  close(): void {
    this.#dra?.close();
  }

  #client(): Client {
    if (this.#dra === undefined) throw new Error("not registered");
    return this.#dra;
  }
}

/** As Go's client names a Unix socket: its path, percent-encoded, as authority. */
function dial(path: string): Client {
  return new Client(`unix:${path}`, credentials.createInsecure(), {
    "grpc.default_authority": encodeURIComponent(path),
    // A pooled connection may be one to the process before, whose end has not been read yet.
    "grpc.use_local_subchannel_pool": 1,
  });
}

function call<I extends DescMessage, O extends DescMessage>(
  client: Client,
  service: ServiceDefinition,
  method: string,
  input: I,
  request: MessageInitShape<I>,
  _output: O,
): Promise<MessageShape<O>> {
  const definition = service[method];
  if (definition === undefined) throw new Error(`no method ${method}`);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      create(input, request),
      { deadline: Date.now() + 45_000 },
      (cause, response) => {
        if (cause !== null) reject(cause);
        else resolve(response as MessageShape<O>);
      },
    );
  });
}
