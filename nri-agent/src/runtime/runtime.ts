import { connect, type Socket } from "node:net";
import { create } from "@bufbuild/protobuf";
import {
  EmptySchema,
  RegisterPluginRequestSchema,
  UpdateContainersRequestSchema,
  UpdateContainersResponseSchema,
  type ConfigureRequest,
  type ContainerUpdate,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import type { RuntimeCalls, RuntimeHooks, Session } from "../enforce/hooks.ts";
import type { SessionReport } from "../enforce/view.ts";
import { nriAbilities } from "../nri/version.ts";
import { Channel } from "./channel.ts";
import { Dispatch } from "./dispatch.ts";

const RUNTIME_SERVICE = "nri.pkg.api.v1alpha1.Runtime";
const FIRST_RETRY_MS = 200;
const MAX_RETRY_MS = 10_000;
/** Connecting makes the runtime wait for running terminations; a session that breaks twice in this time is not retried quickly. */
const CRASH_WINDOW_MS = 60_000;
/** A socket that is missing for longer, since the start of the agent, is one that is not coming: a runtime that restarts is back before. */
const MISSED_MS = 10_000;
/** The runtime's default where it does not say (NRI < 0.8). */
const DEFAULT_REQUEST_TIMEOUT_MS = 2000;

export interface RuntimeOptions {
  readonly socketPath: string;
  readonly pluginName: string;
  /** Two digits. */
  readonly pluginIndex: string;
  readonly hooks: RuntimeHooks;
  readonly log: {
    info(message: string, fields?: Readonly<Record<string, unknown>>): void;
    warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
    error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  };
  onHook(method: string, seconds: number): void;
  newId(): string;
  /** 0 ≤ x < 1 */
  random(): number;
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** Resolves after `ms`, or at once when `signal` aborts. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

/**
 * The connection to the container runtime: registers, serves its calls, and comes back for ever. A live session is never dropped
 * on purpose, and nothing times out the wait for Synchronize: the runtime holds it back for as long as any container is in its grace.
 */
export class Runtime implements RuntimeCalls {
  readonly #o: RuntimeOptions;
  #report: SessionReport = {
    state: "away",
    since: Date.now(),
    why: "not connected yet",
    canUpdate: false,
    connections: 0,
    hasNoSocket: false,
  };
  /** Milliseconds of the monotonic clock at which the socket was first missed; `undefined` once there was one. */
  #missedSince: number | undefined;
  #channel: Channel | undefined;
  #lastSaid = "";

  constructor(options: RuntimeOptions) {
    this.#o = options;
  }

  report(): SessionReport {
    return this.#report;
  }

  async run(signal: AbortSignal): Promise<void> {
    let waitMs = FIRST_RETRY_MS;
    let brokeAt = -Infinity;
    while (!signal.aborted) {
      const { why, synchronized } = await this.#session(signal);
      if (signal.aborted) return;
      const now = this.#o.now();
      if (synchronized) {
        waitMs = now - brokeAt < CRASH_WINDOW_MS ? MAX_RETRY_MS : FIRST_RETRY_MS;
        brokeAt = now;
      }
      this.#set("away", why);
      if (why !== this.#lastSaid) {
        this.#lastSaid = why;
        this.#o.log.warn("no NRI session with the container runtime; trying again", {
          cause: why,
          socket: this.#o.socketPath,
        });
      }
      await this.#o.pause(waitMs * (0.75 + this.#o.random() / 2), signal);
      waitMs = Math.min(waitMs * 2, MAX_RETRY_MS);
    }
  }

  async updateContainers(updates: readonly ContainerUpdate[]): Promise<void> {
    const channel = this.#channel;
    if (channel === undefined) throw new Error("no NRI session");
    const request = create(UpdateContainersRequestSchema, { update: [...updates] });
    const response = await channel.call(
      RUNTIME_SERVICE,
      "UpdateContainers",
      UpdateContainersRequestSchema,
      request,
      UpdateContainersResponseSchema,
    );
    if (response.failed.length > 0) {
      throw new Error(`the runtime could not update ${response.failed.map((one) => one.containerId).join(", ")}`);
    }
  }

  /** One connection from beginning to end. */
  async #session(signal: AbortSignal): Promise<{ why: string; synchronized: boolean }> {
    this.#set("connecting", "connecting");
    let socket: Socket;
    try {
      socket = await dial(this.#o.socketPath, signal);
      this.#seen(true);
    } catch (cause) {
      const fault = cause as NodeJS.ErrnoException;
      this.#seen(fault.code !== "ENOENT");
      return { why: dialFailure(this.#o.socketPath, fault), synchronized: false };
    }
    const id = this.#o.newId();
    let session: Session | undefined;
    let synchronized = false;
    let isOver = false;
    return new Promise((resolve) => {
      let syncBegan = 0;
      let limitMs = DEFAULT_REQUEST_TIMEOUT_MS;
      const dispatch = new Dispatch({
        hooks: this.#o.hooks,
        monotonic: () => this.#o.now() / 1000,
        onHook: this.#o.onHook,
        onDefect: (method, cause) =>
          this.#o.log.error("a hook failed; this is a defect", {
            method,
            cause: stackOf(cause),
          }),
        onUnreadable: (cause) =>
          this.#o.log.warn("the runtime lists what cannot be read, and that is left out", {
            cause: (cause as Error).message,
          }),
        onConfigure: (request) => {
          session = sessionOf(id, request);
          limitMs = session.runtime.requestTimeoutMs || DEFAULT_REQUEST_TIMEOUT_MS;
          this.#report = {
            state: "waiting-for-synchronize",
            since: Date.now(),
            why: "the runtime has not listed its containers yet; it waits for every container in its termination grace",
            canUpdate: nriAbilities(session.runtime).canUpdate,
            connections: this.#report.connections + 1,
            hasNoSocket: false,
          };
          this.#o.log.info("connected to the container runtime", {
            runtime: `${session.runtime.name} ${session.runtime.version}`,
            nri: session.runtime.nriVersion ?? "not told",
            session: id,
          });
          this.#o.hooks.sessionConfigured(session);
        },
        onSynchronize: (phase) => {
          // The session may end while its containers are gone through.
          if (isOver) return;
          if (phase === "begin") syncBegan = this.#o.now();
          // The runtime goes on without a plugin whose Synchronize failed, and leaves the socket open: a new session tries again.
          else if (phase === "failed") setImmediate(() => channel.close("Synchronize failed inside the agent"));
          else if (this.#o.now() - syncBegan > limitMs) {
            // Too late: the runtime goes on without us, and older ones leave the socket open.
            channel.close(`Synchronize took longer than the ${limitMs} ms that the runtime gives it`);
          } else {
            synchronized = true;
            this.#lastSaid = "";
            this.#set("synchronized", "");
          }
        },
      });
      const channel = new Channel(socket, dispatch.serve, (why) => {
        isOver = true;
        signal.removeEventListener("abort", onAbort);
        this.#channel = undefined;
        if (session !== undefined) this.#o.hooks.sessionClosed(session, why);
        resolve({ why, synchronized });
      });
      const onAbort = (): void => channel.close("the agent is stopping");
      signal.addEventListener("abort", onAbort, { once: true });
      this.#channel = channel;
      const request = create(RegisterPluginRequestSchema, {
        pluginName: this.#o.pluginName,
        pluginIdx: this.#o.pluginIndex,
      });
      // The runtime answers a refused registration and leaves the socket open: closing is ours.
      channel
        .call(RUNTIME_SERVICE, "RegisterPlugin", RegisterPluginRequestSchema, request, EmptySchema)
        .catch((cause: unknown) => channel.close(`the runtime refused the registration: ${(cause as Error).message}`));
    });
  }

  #seen(isThere: boolean): void {
    const now = this.#o.now();
    this.#missedSince = isThere ? undefined : (this.#missedSince ?? now);
    const hasNoSocket =
      this.#report.connections === 0 && this.#missedSince !== undefined && now - this.#missedSince > MISSED_MS;
    this.#report = { ...this.#report, hasNoSocket };
  }

  #set(state: SessionReport["state"], why: string): void {
    this.#report = {
      ...this.#report,
      state,
      why,
      since: Date.now(),
      canUpdate: state === "away" ? false : this.#report.canUpdate,
    };
  }
}

function sessionOf(id: string, request: ConfigureRequest): Session {
  return {
    id,
    runtime: {
      name: request.runtimeName.slice(0, 100),
      version: request.runtimeVersion.slice(0, 100),
      nriVersion: request.NRIVersion === "" ? undefined : request.NRIVersion.slice(0, 100),
      requestTimeoutMs: Number(request.requestTimeout),
    },
  };
}

function dial(path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const onAbort = (): void => {
      socket.destroy();
      reject(new Error("stopping"));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      socket.removeAllListeners("error");
      resolve(socket);
    });
    socket.once("error", (cause) => {
      signal.removeEventListener("abort", onAbort);
      reject(cause);
    });
  });
}

function dialFailure(path: string, cause: NodeJS.ErrnoException): string {
  switch (cause.code) {
    case "ENOENT":
      return `${path} does not exist: the container runtime is not running, or NRI is disabled in its configuration`;
    case "ECONNREFUSED":
      return `nobody listens on ${path}: the container runtime is not running`;
    case "EACCES":
      return `no permission to connect to ${path}; the agent has to run as root`;
    default:
      return `cannot connect to ${path}: ${cause.message}`;
  }
}

function stackOf(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}
