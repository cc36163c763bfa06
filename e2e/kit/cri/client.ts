import {
  create,
  fromBinary,
  toBinary,
  type DescMethod,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { RuntimeService } from "./gen/cri/api_pb.ts";

type Methods = typeof RuntimeService.method;

/** A CRI client: what the kubelet does, called by hand. */
export class Cri {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": 16 << 20,
    });
  }

  /** Calls one method; errors carry the runtime's words. */
  call<K extends keyof Methods>(
    name: K,
    request: MessageInitShape<Methods[K]["input"]>,
    timeoutMs = 120_000,
  ): Promise<MessageShape<Methods[K]["output"]>> {
    const method: DescMethod = RuntimeService.method[name];
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/${RuntimeService.typeName}/${method.name}`,
        (message: Message) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer): Message => fromBinary(method.output, bytes, { readUnknownFields: false }),
        create(method.input, request as never) as Message,
        { deadline: Date.now() + timeoutMs },
        (cause: ServiceError | null, response?: Message) => {
          if (cause !== null) reject(new Error(`${method.name}: ${cause.details || cause.message}`));
          else resolve(response as MessageShape<Methods[K]["output"]>);
        },
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}
