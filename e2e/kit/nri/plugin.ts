import { once } from "node:events";
import { connect } from "node:net";
import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { eventMask } from "@dracpu/nri-agent/nri/events.ts";
import { CODE } from "@dracpu/nri-agent/nri/ttrpc.ts";
import { CallFault, Channel, decode } from "@dracpu/nri-agent/runtime/channel.ts";
import {
  ConfigureResponseSchema,
  CreateContainerRequestSchema,
  CreateContainerResponseSchema,
  EmptySchema,
  Event,
  RegisterPluginRequestSchema,
  SynchronizeRequestSchema,
  SynchronizeResponseSchema,
  type Container,
  type CreateContainerResponse,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { until } from "../node/processes.ts";

/** The container is as the plugins before this one have made it. What it throws refuses it. */
export type OnCreate = (
  container: Container,
) => CreateContainerResponse | undefined | Promise<CreateContainerResponse | undefined>;

/** An NRI plugin that is none of ours. The runtime asks plugins in the order of their index; the agent's is 10. */
export class OtherPlugin {
  readonly #socketPath: string;
  readonly #index: string;
  readonly #onCreate: OnCreate;
  #channel: Channel | undefined;
  #isSynchronized = false;

  constructor(socketPath: string, index: string, onCreate: OnCreate) {
    this.#socketPath = socketPath;
    this.#index = index;
    this.#onCreate = onCreate;
  }

  async connect(): Promise<void> {
    const socket = connect({ path: this.#socketPath });
    await once(socket, "connect");
    let refused = "";
    this.#channel = new Channel(
      socket,
      (_service, method, payload) => this.#serve(method, payload),
      () => {},
    );
    const request = create(RegisterPluginRequestSchema, { pluginName: "someone-else", pluginIdx: this.#index });
    this.#channel
      .call("nri.pkg.api.v1alpha1.Runtime", "RegisterPlugin", RegisterPluginRequestSchema, request, EmptySchema)
      .catch((cause: unknown) => {
        refused = (cause as Error).message;
      });
    await until(
      "the other plugin is connected",
      () => {
        if (refused !== "") throw new Error(refused);
        return this.#isSynchronized;
      },
      20_000,
    );
  }

  close(): void {
    this.#channel?.close("the test is over");
  }

  #serve(method: string, payload: Uint8Array): Uint8Array | Promise<Uint8Array> {
    switch (method) {
      case "Configure":
        return encoded(ConfigureResponseSchema, { events: eventMask([Event.CREATE_CONTAINER]) });
      case "Synchronize": {
        const { more } = decode(SynchronizeRequestSchema, payload);
        this.#isSynchronized = !more;
        return encoded(SynchronizeResponseSchema, { more });
      }
      case "CreateContainer":
        return this.#created(decode(CreateContainerRequestSchema, payload).container);
      default:
        throw new CallFault(CODE.UNIMPLEMENTED, `unknown method ${method}`);
    }
  }

  async #created(container: Container | undefined): Promise<Uint8Array> {
    if (container === undefined) throw new Error("a creation of no container");
    const response = await this.#onCreate(container);
    return toBinary(CreateContainerResponseSchema, response ?? create(CreateContainerResponseSchema));
  }
}

function encoded<D extends DescMessage>(schema: D, message: MessageInitShape<D>): Uint8Array {
  return toBinary(schema, create(schema, message));
}
