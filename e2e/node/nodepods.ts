import { readFileSync } from "node:fs";
import { join } from "node:path";
import { binary } from "../build/build.ts";
import type { RealNode } from "../kit/node/node.ts";
import { until } from "../kit/node/processes.ts";
import { allowedIn, containerProcesses, isThere, pidsIn } from "./kernel.ts";
import { pod, type PodSpec } from "./objects.ts";

/** What a container saw and sees: read by processes inside it and from its cgroup, never from what we believe. */
export interface Seen {
  /** `Cpus_allowed_list` of a new process in the container. */
  readonly exec: string;
  /** The same of the container's first instruction, from its log. */
  readonly first: string;
  /** `cpuset.cpus` of its cgroup. */
  readonly cgroup: string;
}

/** Where a running container is, asked of the API server once. */
export interface Place {
  readonly podUid: string;
  /** The runtime's. */
  readonly id: string;
  /** Its path below a controller's root. */
  readonly cgroup: string;
  /** Its first process, as the host counts. */
  readonly pid: number;
}

interface PodStatus {
  readonly metadata: { readonly uid: string };
  readonly status: {
    readonly phase: string;
    readonly qosClass: string;
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly containerID?: string;
      readonly started?: boolean;
      readonly restartCount: number;
      readonly state: { readonly running?: { readonly startedAt: string } };
    }[];
  };
}

/** What tests do with pods of a real node. */
export class NodePods {
  readonly node: RealNode;
  #execs = 0;

  constructor(node: RealNode) {
    this.node = node;
  }

  createPod(spec: PodSpec): Promise<void> {
    return this.node.apply(pod(spec));
  }

  status(name: string): Promise<PodStatus> {
    return this.node.json<PodStatus>("get", "pod", name);
  }

  async running(name: string, ms = 30_000): Promise<void> {
    await until(
      `pod ${name} runs`,
      async () => {
        const text = await this.node.kubectl("get", "pod", name, "-o", "jsonpath={.status.containerStatuses[*].ready}");
        return text !== "" && text.split(" ").every((one) => one === "true");
      },
      ms,
      100,
    );
  }

  async seen(name: string, container = "c0"): Promise<Seen> {
    const [exec, log, place] = await Promise.all([
      this.exec(name, container, "cat", "/proc/self/status"),
      until(
        "its first words are there",
        () => this.node.kubectl("logs", name, "-c", container).then((text) => text || undefined),
        10_000,
      ),
      this.place(name, container),
    ]);
    return { exec: allowedIn(exec), first: allowedIn(log), cgroup: this.cgroupFile(place, "cpuset", "cpuset.cpus") };
  }

  exec(name: string, container: string, ...argv: string[]): Promise<string> {
    return this.node.kubectl("exec", name, "-c", container, "--", ...argv);
  }

  async place(name: string, container = "c0"): Promise<Place> {
    const { metadata, status } = await this.status(name);
    const qos = status.qosClass === "Guaranteed" ? "" : `/${status.qosClass.toLowerCase()}`;
    const one = status.containerStatuses?.find((each) => each.name === container);
    const id = one?.containerID?.replace("containerd://", "") ?? "";
    const cgroup = `kubepods${qos}/pod${metadata.uid}/${id}`;
    return { podUid: metadata.uid, id, cgroup, pid: pidsIn(join("/sys/fs/cgroup/cpuset", cgroup))[0] ?? 0 };
  }

  /** As `exec` and `cgroup` of {@link seen}, through the runtime alone: for when there is no API server. */
  async seenByRuntime(place: Place): Promise<Pick<Seen, "exec" | "cgroup">> {
    this.#execs += 1;
    const status = await this.node.run(binary("containerd", "ctr"), [
      ...["-a", this.node.criSocket, "-n", "k8s.io", "tasks", "exec", "--exec-id", `look-${this.#execs}`],
      ...[place.id, "cat", "/proc/self/status"],
    ]);
    return { exec: allowedIn(status), cgroup: this.cgroupFile(place, "cpuset", "cpuset.cpus") };
  }

  /** The environment of the container's first process, which a shell would filter. */
  async environment(name: string, container = "c0"): Promise<string[]> {
    return (await this.exec(name, container, "cat", "/proc/1/environ")).split("\0");
  }

  /** A file of a controller of the container's cgroup. */
  cgroupFile(place: Place, controller: string, file: string): string {
    return readFileSync(join("/sys/fs/cgroup", controller, place.cgroup, file), "utf8").trim();
  }

  /** Kills the container's first process, and waits until it is gone. */
  async killFirstProcess(name: string): Promise<void> {
    const { pid } = await this.place(name);
    process.kill(pid, "SIGKILL");
    await until(`process ${pid} of pod ${name} is gone`, () => !isThere(pid), 5000, 5);
  }

  /**
   * That no container of the pod runs an instruction while `during` goes on: by the kernel's processes all the time, and at the end by
   * the kubelet's word and by what first instructions wrote to the logs.
   * @returns what `during` gave.
   */
  async nothingRuns<T>(name: string, during: () => Promise<T>): Promise<T> {
    const { metadata } = await this.status(name);
    const firsts = await this.#firstInstructions(name, metadata.uid);
    const ran = new Set<string>();
    const refuse = (): never => {
      throw new Error(`pod ${name} ran while it should not: ${[...ran].join("; ")}`);
    };
    const over = new AbortController();
    const watch = async (): Promise<void> => {
      while (!over.signal.aborted) {
        for (const one of containerProcesses())
          if (one.podUid === metadata.uid) ran.add(`${one.command} on ${one.allowed}`);
        if (ran.size > 0) refuse();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const going = during();
    try {
      await Promise.race([going, watch()]);
    } finally {
      over.abort();
    }
    const answer = await going;
    const { status } = await this.status(name);
    for (const one of status.containerStatuses ?? []) {
      if (one.started !== false) ran.add(`status.started of ${one.name} is ${String(one.started)}`);
      if (one.state.running !== undefined) ran.add(`${one.name} is running by its status`);
    }
    // A log goes with its container, so there may be fewer than before.
    const now = await this.#firstInstructions(name, metadata.uid);
    if (now > firsts) ran.add(`${now - firsts} first instructions wrote to the log`);
    if (ran.size > 0) refuse();
    return answer;
  }

  /** How often a container of the pod wrote what its first instruction saw, in the logs that there are. */
  async #firstInstructions(name: string, uid: string): Promise<number> {
    const script = `cat /var/log/pods/default_${name}_${uid}/*/*.log 2>/dev/null | grep -c Cpus_allowed_list || true`;
    return Number(await this.node.run("sh", ["-c", script]));
  }

  async event(name: string, contains: string, ms = 60_000): Promise<string> {
    return until(
      `an Event of pod ${name} that says ${JSON.stringify(contains)}`,
      async () => {
        const found = await this.node.json<{ items: { message: string }[] }>(
          ...["get", "events", "--field-selector", `involvedObject.name=${name}`],
        );
        return found.items.map((one) => one.message).find((text) => text.includes(contains));
      },
      ms,
      200,
    );
  }

  async remove(...pods: string[]): Promise<void> {
    await this.node.kubectl("delete", "pod", "--wait=true", "--ignore-not-found", "--timeout=60s", ...pods);
  }

  /** The uid of the only claim there is. */
  async claimUid(): Promise<string> {
    const { items } = await this.node.json<{ items: { metadata: { uid: string } }[] }>("get", "resourceclaims");
    if (items.length !== 1) throw new Error(`there are ${items.length} claims where one was expected`);
    return items[0]?.metadata.uid ?? "";
  }
}
