import { cdiEnv } from "./enforcer.ts";
import { create } from "@bufbuild/protobuf";
import type { RuntimeHooks, Session } from "@dracpu/nri-agent/enforce/hooks.ts";
import * as names from "@dracpu/shared-proto/contract/names.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  ContainerSchema,
  ContainerState,
  PodSandboxSchema,
  type Container,
  type ContainerUpdate,
  type PodSandbox,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import type { PartitionModel } from "./partitionmodel.ts";

export interface PlayedPod {
  readonly sandbox: PodSandbox;
  readonly cgroup: string;
}

export interface PlayedContainer {
  readonly id: string;
  readonly name: string;
  readonly pod: PlayedPod;
  readonly cgroup: string;
  /** CDI device ids. */
  readonly cdi: readonly string[];
  state: "created" | "starting" | "running" | "exited";
  /** The runtime's stored mask; what the kernel has may be another. */
  stored: string;
  gated: boolean;
  stopping: boolean;
  annotations: Record<string, string>;
  /** Of its spec: files of its cgroup, which runc writes after the mask, each time it writes that. */
  files: Record<string, string>;
  env: string[];
  /** What its first instruction could run on. */
  first: CpuSet | undefined;
}

/**
 * A container runtime as the agent sees it, without its bytes: events in order, masks as containerd and runc handle them. Updates of a
 * container that is being started are lost and count as success; a container whose gate nobody took out does not start.
 */
export class PlayedRuntime {
  readonly kernel: PartitionModel;
  readonly pods = new Map<string, PlayedPod>();
  readonly containers = new Map<string, PlayedContainer>();
  /** Who is connected, and synchronized. */
  hooks: RuntimeHooks | undefined;
  session: Session | undefined;
  /** Empty masks in replies and updates: NRI reads them as "no change". */
  readonly emptySent: string[] = [];
  #sessions = 0;

  /** Of the sessions to come. */
  nriVersion = "0.12.3";

  constructor(kernel: PartitionModel) {
    this.kernel = kernel;
  }

  pod(uid: string, qos: "besteffort" | "burstable" = "besteffort"): PlayedPod {
    const known = this.pods.get(uid);
    if (known !== undefined) return known;
    const pod = {
      sandbox: create(PodSandboxSchema, { id: `sandbox-${uid}`, uid, name: uid, namespace: "default" }),
      cgroup: `/kubepods/${qos}/pod${uid}`,
    };
    this.pods.set(uid, pod);
    // Its pause process.
    this.kernel.mkdir(`${pod.cgroup}/sandbox-${uid}`);
    this.kernel.setProcesses(`${pod.cgroup}/sandbox-${uid}`, 1);
    return pod;
  }

  /** A new session that lists all containers, as far as the agent lives to the end of it. */
  async connect(hooks: RuntimeHooks): Promise<void> {
    this.#sessions += 1;
    this.session = {
      id: `session-${this.#sessions}`,
      runtime: { name: "containerd", version: "2.4.2", nriVersion: this.nriVersion, requestTimeoutMs: 2000 },
    };
    hooks.sessionConfigured(this.session);
    const listed = [...this.containers.values()]
      .filter((one) => one.state !== "exited")
      .map((one) => this.message(one));
    this.hooks = hooks;
    const updates = await hooks.synchronize(
      [...this.pods.values()].map((pod) => pod.sandbox),
      listed,
    );
    if (this.hooks === hooks) this.apply(updates);
  }

  /** The connection breaks; `told`: the agent lives to notice. */
  disconnect(told: boolean): void {
    const { hooks, session } = this;
    this.hooks = undefined;
    this.session = undefined;
    if (told && hooks !== undefined && session !== undefined)
      hooks.sessionClosed(session, "the runtime closed the connection");
  }

  /** @throws HookRefusal, with the words that reach the pod. */
  create(
    pod: PlayedPod,
    id: string,
    more: { cdi?: readonly string[]; env?: readonly string[]; name?: string } = {},
  ): PlayedContainer {
    const cdi = more.cdi ?? [];
    const one: PlayedContainer = {
      id,
      name: more.name ?? id,
      pod,
      cgroup: `${pod.cgroup}/${id}`,
      cdi,
      state: "created",
      stored: "",
      gated: cdi.length > 0,
      stopping: false,
      annotations: {},
      files: {},
      env: [...cdiEnv(more.cdi ?? []), ...(more.env ?? [])],
      first: undefined,
    };
    const { hooks } = this;
    const reply =
      hooks === undefined ? undefined : this.#asked(() => hooks.createContainer(pod.sandbox, this.message(one)));
    this.containers.set(id, one);
    if (reply === undefined) return one;
    const { adjust, update } = reply;
    const cpu = adjust?.linux?.resources?.cpu;
    if (cpu !== undefined && cpu.cpus === "") this.emptySent.push(`create ${id}`);
    one.stored = cpu?.cpus ?? "";
    if (adjust?.mounts.some((mount) => mount.destination === `-${names.GATE_PATH}`) === true) one.gated = false;
    one.annotations = { ...adjust?.annotations };
    one.files = { ...adjust?.linux?.resources?.unified };
    one.env.push(...(adjust?.env ?? []).map((entry) => `${entry.key}=${entry.value}`));
    this.apply(update);
    this.hooks?.postCreateContainer(pod.sandbox, this.message(one));
    return one;
  }

  /** runc makes the cgroup with the stored mask and the first process in it, the hook is asked, the process goes on. @throws Error */
  async start(one: PlayedContainer): Promise<void> {
    one.state = "starting";
    this.kernel.mkdir(one.cgroup);
    this.kernel.setProcesses(one.cgroup, 1);
    this.#write(one);
    const { hooks } = this;
    try {
      try {
        await hooks?.startContainer(one.pod.sandbox, this.message(one));
      } catch (cause) {
        // A plugin that died over it is as good as none.
        if (this.hooks === hooks) throw cause;
      }
      if (one.gated) throw new Error(`cannot mount ${names.GATE_HOST_PATH}: no such file or directory`);
    } catch (cause) {
      this.exit(one);
      this.remove(one);
      throw cause;
    }
    one.first = this.kernel.effective(one.cgroup);
    one.state = "running";
    this.hooks?.postStartContainer(one.pod.sandbox, this.message(one));
  }

  /** TERM is sent; it runs on through its grace. */
  stop(one: PlayedContainer): void {
    one.stopping = true;
    this.apply(this.hooks?.stopContainer(one.pod.sandbox, this.message(one)).update ?? []);
  }

  /** Its processes are gone, and its cgroup with them. */
  exit(one: PlayedContainer): void {
    one.state = "exited";
    if (!this.kernel.has(one.cgroup)) return;
    this.kernel.setProcesses(one.cgroup, 0);
    this.kernel.rmdir(one.cgroup);
  }

  remove(one: PlayedContainer): void {
    this.containers.delete(one.id);
    this.hooks?.removeContainer(one.pod.sandbox, this.message(one));
  }

  /** Somebody's UpdateContainerResources through the CRI; applied after the reply. */
  update(one: PlayedContainer, cpus: string): void {
    const answer = this.hooks?.updateContainer(one.pod.sandbox, this.message(one), undefined);
    const resources = answer?.update.find((update) => update.containerId === one.id)?.linux?.resources;
    const own = resources?.cpu?.cpus;
    Object.assign(one.files, resources?.unified);
    if (own === "") this.emptySent.push(`update ${one.id}`);
    this.#set(one, own ?? cpus);
    this.apply((answer?.update ?? []).filter((update) => update.containerId !== one.id));
    this.hooks?.postUpdateContainer(one.pod.sandbox, this.message(one));
  }

  /** Updates in a reply, or of UpdateContainers. */
  apply(updates: readonly ContainerUpdate[]): void {
    for (const { containerId, linux } of updates) {
      const one = this.containers.get(containerId);
      const cpus = linux?.resources?.cpu?.cpus ?? "";
      if (cpus === "") this.emptySent.push(`update ${containerId}`);
      if (one === undefined) continue;
      Object.assign(one.files, linux?.resources?.unified);
      this.#set(one, cpus);
    }
  }

  /** The pod is gone for the kubelet: its containers first, then its pause process, then its cgroup. */
  removePod(pod: PlayedPod): void {
    for (const one of [...this.containers.values()].filter((each) => each.pod === pod)) {
      this.stop(one);
      this.exit(one);
      this.remove(one);
    }
    const pause = `${pod.cgroup}/${pod.sandbox.id}`;
    this.kernel.setProcesses(pause, 0);
    this.kernel.rmdir(pause);
    this.kernel.rmdir(pod.cgroup);
    this.pods.delete(pod.sandbox.uid);
  }

  message(one: PlayedContainer): Container {
    const states = {
      created: ContainerState.CONTAINER_CREATED,
      starting: ContainerState.CONTAINER_CREATED,
      running: ContainerState.CONTAINER_RUNNING,
      exited: ContainerState.CONTAINER_STOPPED,
    } as const;
    return create(ContainerSchema, {
      id: one.id,
      podSandboxId: one.pod.sandbox.id,
      name: one.name,
      state: states[one.state],
      env: [...one.env],
      annotations: { ...one.annotations },
      mounts: one.gated ? [{ destination: names.GATE_PATH }] : [],
      linux: { cgroupsPath: one.cgroup, resources: { cpu: { cpus: one.stored }, unified: { ...one.files } } },
      CDIDevices: one.cdi.map((name) => ({ name })),
    });
  }

  /** What a plugin says that dies over it is heard by nobody. */
  #asked<T>(ask: () => T): T | undefined {
    const { hooks } = this;
    try {
      const answer = ask();
      return this.hooks === hooks ? answer : undefined;
    } catch (cause) {
      if (this.hooks === hooks) throw cause;
      return undefined;
    }
  }

  #set(one: PlayedContainer, cpus: string): void {
    if (cpus === "") return;
    one.stored = cpus;
    if (one.state === "running") this.#write(one);
  }

  #write(one: PlayedContainer): void {
    if (one.stored !== "") this.kernel.write(one.cgroup, CpuSet.parse(one.stored));
    for (const [file, text] of Object.entries(one.files)) {
      if (file !== "cpuset.cpus.partition") throw new Error(`runc would write ${text} into ${file} of ${one.cgroup}`);
      this.kernel.writePartition(one.cgroup, text as "root" | "isolated" | "member");
    }
  }
}
