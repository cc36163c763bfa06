import { create, toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { CPUSET_ENV_PREFIX, CPUSHARE_ENV_PREFIX } from "@dracpu/shared-proto/contract/names.ts";
import {
  ConfigureRequestSchema,
  ConfigureResponseSchema,
  ContainerSchema,
  CreateContainerRequestSchema,
  CreateContainerResponseSchema,
  EmptySchema,
  Event,
  PodSandboxSchema,
  PostCreateContainerRequestSchema,
  StateChangeEventSchema,
  StopContainerRequestSchema,
  StopContainerResponseSchema,
  SynchronizeResponseSchema,
  UpdateContainerRequestSchema,
  UpdateContainerResponseSchema,
  type ConfigureRequest,
  type Container,
  type PodSandbox,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { HookRefusal, type RuntimeHooks } from "../enforce/hooks.ts";
import { eventMask, SUBSCRIBED } from "../nri/events.ts";
import { CODE } from "../nri/ttrpc.ts";
import { CallFault, decode } from "./channel.ts";
import { readSynchronizePart, withoutOtherEnvironment } from "./synchronizepart.ts";

const PLUGIN_SERVICE = "nri.pkg.api.v1alpha1.Plugin";
const EMPTY = toBinary(EmptySchema, create(EmptySchema));
/** What a Synchronize in parts may hold in all; a runtime with 2,000 large containers sends a few tens of thousands of bytes each. */
const MAX_SYNCHRONIZE = 20_000;

/** What marks are read from. */
const OUR_VARIABLES = [CPUSET_ENV_PREFIX, CPUSHARE_ENV_PREFIX].map((prefix) => new TextEncoder().encode(prefix));

export interface DispatchOptions {
  readonly hooks: RuntimeHooks;
  onConfigure(request: ConfigureRequest): void;
  /** Before the hook runs on the last part, and after it answered or failed. */
  onSynchronize(phase: "begin" | "end" | "failed"): void;
  /** A hook threw something that is no refusal: a defect. */
  onDefect(method: string, cause: unknown): void;
  /** The runtime lists a pod or container that cannot be read, and that is left out; the first of each Synchronize. */
  onUnreadable(cause: unknown): void;
  /** Seconds that a hook took, from the decoded request to the encoded answer. */
  onHook(method: string, seconds: number): void;
  /** Seconds on a monotonic clock. */
  monotonic(): number;
}

type About = { readonly pod?: PodSandbox | undefined; readonly container?: Container | undefined };

/**
 * Calls of the runtime, one method each; dedicated RPCs (NRI >= 0.12) and StateChange (older) end in the same hooks. Unknown methods get
 * UNIMPLEMENTED and nothing else: the runtime falls back on exactly that code.
 */
export class Dispatch {
  readonly #o: DispatchOptions;
  /** Of the parts of a Synchronize so far, not yet decoded. */
  #pods: Uint8Array[] = [];
  #containers: Uint8Array[] = [];

  constructor(options: DispatchOptions) {
    this.#o = options;
  }

  serve = (service: string, method: string, payload: Uint8Array): Uint8Array | Promise<Uint8Array> => {
    if (service !== PLUGIN_SERVICE) throw new CallFault(CODE.UNIMPLEMENTED, `unknown service ${service.slice(0, 100)}`);
    const begin = this.#o.monotonic();
    try {
      const answer = this.#call(method, payload);
      if (answer instanceof Promise) {
        return answer.then(
          (bytes) => this.#done(method, begin, bytes),
          (cause: unknown) => {
            throw this.#failed(method, begin, cause);
          },
        );
      }
      return this.#done(method, begin, answer);
    } catch (cause) {
      throw this.#failed(method, begin, cause);
    }
  };

  #done(method: string, begin: number, bytes: Uint8Array): Uint8Array {
    this.#o.onHook(method, this.#o.monotonic() - begin);
    return bytes;
  }

  #failed(method: string, begin: number, cause: unknown): CallFault {
    // The method's name is the other side's word until it is known.
    const isUnknown = cause instanceof CallFault && cause.code === CODE.UNIMPLEMENTED;
    this.#o.onHook(isUnknown ? "unknown" : method, this.#o.monotonic() - begin);
    if (cause instanceof CallFault) return cause;
    if (cause instanceof HookRefusal) return new CallFault(CODE.UNKNOWN, cause.message);
    this.#o.onDefect(method, cause);
    return new CallFault(CODE.UNKNOWN, `dra.cpu: ${method} failed inside the NRI agent: ${(cause as Error).message}`);
  }

  #call(method: string, payload: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const { hooks } = this.#o;
    switch (method) {
      case "Configure":
        this.#o.onConfigure(read(method, ConfigureRequestSchema, payload));
        return write(ConfigureResponseSchema, create(ConfigureResponseSchema, { events: eventMask(SUBSCRIBED) }));
      case "Synchronize":
        return this.#synchronize(payload);
      case "CreateContainer": {
        const { pod, container } = both(method, read(method, CreateContainerRequestSchema, payload));
        return write(CreateContainerResponseSchema, hooks.createContainer(pod, container));
      }
      case "UpdateContainer": {
        const request = read(method, UpdateContainerRequestSchema, payload);
        const { pod, container } = both(method, request);
        return write(UpdateContainerResponseSchema, hooks.updateContainer(pod, container, request.linuxResources));
      }
      case "StopContainer": {
        const { pod, container } = both(method, read(method, StopContainerRequestSchema, payload));
        return write(StopContainerResponseSchema, hooks.stopContainer(pod, container));
      }
      // These requests have one shape, and their answers hold nothing.
      case "PostCreateContainer":
        return this.#event(
          method,
          Event.POST_CREATE_CONTAINER,
          read(method, PostCreateContainerRequestSchema, payload),
        );
      case "StartContainer":
        return this.#event(method, Event.START_CONTAINER, read(method, PostCreateContainerRequestSchema, payload));
      case "PostStartContainer":
        return this.#event(method, Event.POST_START_CONTAINER, read(method, PostCreateContainerRequestSchema, payload));
      case "PostUpdateContainer":
        return this.#event(
          method,
          Event.POST_UPDATE_CONTAINER,
          read(method, PostCreateContainerRequestSchema, payload),
        );
      case "RemoveContainer":
        return this.#event(method, Event.REMOVE_CONTAINER, read(method, PostCreateContainerRequestSchema, payload));
      case "StateChange": {
        const request = read(method, StateChangeEventSchema, payload);
        return this.#event(method, request.event, request);
      }
      case "Shutdown":
        return EMPTY;
      default:
        throw new CallFault(CODE.UNIMPLEMENTED, `unknown method ${method.slice(0, 100)}`);
    }
  }

  #event(method: string, event: Event, request: About): Uint8Array | Promise<Uint8Array> {
    const { hooks } = this.#o;
    switch (event) {
      case Event.POST_CREATE_CONTAINER:
      case Event.START_CONTAINER:
      case Event.POST_START_CONTAINER:
      case Event.POST_UPDATE_CONTAINER:
      case Event.REMOVE_CONTAINER:
        break;
      default:
        // Not subscribed to, or of a later NRI: nothing to do, and no error.
        return EMPTY;
    }
    const { pod, container } = both(method, request);
    switch (event) {
      case Event.POST_CREATE_CONTAINER:
        hooks.postCreateContainer(pod, container);
        break;
      case Event.START_CONTAINER:
        return hooks.startContainer(pod, container).then(() => EMPTY);
      case Event.POST_START_CONTAINER:
        hooks.postStartContainer(pod, container);
        break;
      case Event.POST_UPDATE_CONTAINER:
        hooks.postUpdateContainer(pod, container);
        break;
      case Event.REMOVE_CONTAINER:
        hooks.removeContainer(pod, container);
        break;
    }
    return EMPTY;
  }

  /** The runtime splits what is longer than a ttrpc message. A part that is not the last is answered with `more` and no updates. */
  #synchronize(payload: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const request = readable("the request of Synchronize", payload, () => readSynchronizePart(payload));
    const named = request.pods.length + request.containers.length;
    if (this.#containers.length + this.#pods.length + named > MAX_SYNCHRONIZE) {
      this.#pods = [];
      this.#containers = [];
      throw new CallFault(
        CODE.RESOURCE_EXHAUSTED,
        `Synchronize names more than ${MAX_SYNCHRONIZE} pods and containers`,
      );
    }
    for (const pod of request.pods) this.#pods.push(pod);
    for (const container of request.containers) this.#containers.push(container);
    if (request.more) return write(SynchronizeResponseSchema, create(SynchronizeResponseSchema, { more: true }));
    const unreadable = { told: false };
    const pods = [...this.#each("PodSandbox", this.#pods, (bytes) => decode(PodSandboxSchema, bytes), unreadable)];
    const containers = this.#each("Container", this.#containers, containerIn, unreadable);
    this.#pods = [];
    this.#containers = [];
    this.#o.onSynchronize("begin");
    return this.#o.hooks.synchronize(pods, containers).then(
      (update) => {
        this.#o.onSynchronize("end");
        return write(SynchronizeResponseSchema, create(SynchronizeResponseSchema, { update }));
      },
      (cause: unknown) => {
        this.#o.onSynchronize("failed");
        throw cause;
      },
    );
  }

  /**
   * One at a time, so that what nobody keeps of it is gone before the next: half of a Synchronize's time was memory that waited for all of them. One that cannot
   * be read is left out, and the first of these is told.
   */
  *#each<T>(
    name: string,
    messages: readonly Uint8Array[],
    decoded: (bytes: Uint8Array) => T,
    unreadable: { told: boolean },
  ): Generator<T> {
    for (const bytes of messages) {
      let message: T;
      try {
        message = readable(`a ${name} of Synchronize`, bytes, () => decoded(bytes));
      } catch (cause) {
        if (!unreadable.told) this.#o.onUnreadable(cause);
        unreadable.told = true;
        continue;
      }
      yield message;
    }
  }
}

function read<D extends DescMessage>(method: string, schema: D, payload: Uint8Array): MessageShape<D> {
  return readable(`the request of ${method}`, payload, () => decode(schema, payload));
}

function containerIn(bytes: Uint8Array): Container {
  return decode(ContainerSchema, withoutOtherEnvironment(bytes, OUR_VARIABLES));
}

function readable<T>(what: string, bytes: Uint8Array, reading: () => T): T {
  try {
    return reading();
  } catch (cause) {
    const why = `${what} cannot be read in its ${bytes.length} bytes: ${(cause as Error).message}`;
    throw new CallFault(CODE.INVALID_ARGUMENT, `dra.cpu: ${why}`, { cause });
  }
}

function write<D extends DescMessage>(schema: D, message: MessageShape<D>): Uint8Array {
  return toBinary(schema, message);
}

function both(method: string, request: About): { pod: PodSandbox; container: Container } {
  const { pod, container } = request;
  const lacks =
    pod === undefined
      ? "no pod"
      : container === undefined
        ? "no container"
        : container.id === ""
          ? "a container without an id"
          : "";
  if (lacks !== "" || pod === undefined || container === undefined) {
    throw new CallFault(
      CODE.INVALID_ARGUMENT,
      `dra.cpu: the runtime's ${method} names ${lacks}; a pod and a container are wanted`,
    );
  }
  return { pod, container };
}
