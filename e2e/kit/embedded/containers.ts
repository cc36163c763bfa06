import { randomBytes, randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  ContainerSchema,
  ContainerState,
  PodSandboxSchema,
  type Container,
  type ContainerUpdate,
  type PodSandbox,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import type { CgroupTree } from "../cgrouptree.ts";
import { PluginRefusal, type FakeRuntime } from "../fakeruntime/runtime.ts";

interface Mount {
  readonly hostPath: string;
  readonly containerPath: string;
}

interface CdiFile {
  readonly kind: string;
  readonly devices: readonly {
    readonly name: string;
    readonly containerEdits: { readonly env: readonly string[]; readonly mounts: readonly Mount[] };
  }[];
}

/**
 * Pods and containers without processes, as a container runtime makes them: CDI edits, NRI hooks one at a time, bind mounts whose source has to exist, a
 * cgroup each. A plugin that is away is not waited for, as by the real one.
 */
export class PlayedContainers {
  readonly #runtime: FakeRuntime;
  readonly #cgroups: CgroupTree;
  readonly #cdiDir: string;
  readonly #online: string;
  readonly #pods = new Map<string, PodSandbox>();
  readonly #containers = new Map<string, Container>();
  #isSynchronized = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: { runtime: FakeRuntime; cgroups: CgroupTree; cdiDir: string; online: string }) {
    this.#runtime = parts.runtime;
    this.#cgroups = parts.cgroups;
    this.#cdiDir = parts.cdiDir;
    this.#online = parts.online;
    this.#runtime.onUpdate = (update) => this.#update([update]);
    this.#runtime.onLost = () => {
      this.#isSynchronized = false;
    };
  }

  get isSynchronized(): boolean {
    return this.#isSynchronized;
  }

  /** Tells every plugin that registers what runs, until `signal` aborts. */
  async serve(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#runtime.plugin();
      await this.#locked(async () => {
        try {
          const all = [...this.#containers.values()];
          this.#update(await this.#runtime.synchronize([...this.#pods.values()], all));
          this.#isSynchronized = true;
        } catch {
          // The plugin is gone again.
        }
      });
    }
  }

  pod(namespace: string, name: string): PodSandbox {
    const pod = create(PodSandboxSchema, { id: id(), uid: randomUUID(), namespace, name });
    this.#pods.set(pod.id, pod);
    return pod;
  }

  /** Creates and starts a container. @throws Error with the runtime's words, as the pod's Event would have them. */
  run(pod: PodSandbox, name: string, cdiIds: readonly string[] = []): Promise<Container> {
    const edits = cdiIds.flatMap((one) => this.#edits(one));
    let mounts = edits.flatMap((one) => one.mounts);
    const container = create(ContainerSchema, {
      id: id(),
      podSandboxId: pod.id,
      name,
      state: ContainerState.CONTAINER_CREATED,
      env: edits.flatMap((one) => [...one.env]),
      mounts: mounts.map(({ containerPath }) => ({ destination: containerPath })),
      linux: { cgroupsPath: "" },
      CDIDevices: cdiIds.map((one) => ({ name: one })),
    });
    if (container.linux !== undefined) container.linux.cgroupsPath = `/kubepods/pod${pod.uid}/${container.id}`;
    return this.#locked(async () => {
      let cpus = this.#online;
      const reply = await this.#asked(() => this.#runtime.create(pod, container));
      if (reply !== undefined) {
        const { adjust } = reply;
        const gone = (adjust?.mounts ?? []).map((one) => one.destination.replace(/^-/, ""));
        mounts = mounts.filter((one) => !gone.includes(one.containerPath));
        container.mounts = container.mounts.filter((one) => !gone.includes(one.destination));
        container.env.push(...(adjust?.env ?? []).map((one) => `${one.key}=${one.value}`));
        Object.assign(container.annotations, adjust?.annotations);
        cpus = adjust?.linux?.resources?.cpu?.cpus ?? cpus;
        this.#update(reply.update);
      }
      const closed = mounts.find((one) => !existsSync(one.hostPath));
      if (closed !== undefined)
        throw new Error(
          `failed to create containerd task: error mounting "${closed.hostPath}" to rootfs at "${closed.containerPath}": no such file or directory`,
        );
      this.#cgroups.add([container]);
      this.#cgroups.set(container.id, cpus);
      try {
        await this.#asked(() => this.#runtime.event("StartContainer", pod, container));
      } catch (cause) {
        this.#cgroups.remove(container.id);
        await this.#asked(() => this.#runtime.event("RemoveContainer", pod, container));
        throw cause;
      }
      container.state = ContainerState.CONTAINER_RUNNING;
      this.#containers.set(container.id, container);
      await this.#asked(() => this.#runtime.event("PostStartContainer", pod, container));
      return container;
    });
  }

  forget(pod: PodSandbox): void {
    this.#pods.delete(pod.id);
  }

  /** Ends the pod's containers. */
  async stop(pod: PodSandbox): Promise<void> {
    const own = [...this.#containers.values()].filter((one) => one.podSandboxId === pod.id);
    for (const container of own) {
      await this.#locked(async () => {
        this.#update((await this.#asked(() => this.#runtime.stop(pod, container)))?.update ?? []);
        this.#cgroups.remove(container.id);
        this.#containers.delete(container.id);
        await this.#asked(() => this.#runtime.event("RemoveContainer", pod, container));
      });
    }
  }

  /** What the kernel would say; `undefined` for a container that does not run. */
  cpusOf(container: Container): string | undefined {
    return this.#cgroups.get(container.id);
  }

  /** `undefined` without a plugin; a refusal is thrown. */
  async #asked<T>(ask: () => Promise<T>): Promise<T | undefined> {
    if (!this.#isSynchronized) return undefined;
    try {
      return await ask();
    } catch (cause) {
      if (cause instanceof PluginRefusal) throw cause;
      return undefined;
    }
  }

  #update(updates: readonly ContainerUpdate[]): void {
    for (const one of updates) {
      const cpus = one.linux?.resources?.cpu?.cpus ?? "";
      if (cpus !== "") this.#cgroups.set(one.containerId, cpus);
    }
  }

  #edits(cdiId: string): CdiFile["devices"][number]["containerEdits"][] {
    const [kind, name] = cdiId.split("=");
    const files = readdirSync(this.#cdiDir).filter((file) => file.endsWith(".json"));
    const specs = files.map((file) => JSON.parse(readFileSync(join(this.#cdiDir, file), "utf8")) as CdiFile);
    const found = specs.filter((spec) => spec.kind === kind).flatMap((spec) => spec.devices);
    const device = found.find((one) => one.name === name);
    if (device === undefined) throw new Error(`CDI device injection failed: unresolvable CDI devices ${cdiId}`);
    return [device.containerEdits];
  }

  /** Pod operations hold the runtime's one NRI lock. */
  #locked<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }
}

function id(): string {
  return randomBytes(32).toString("hex");
}
