import { readFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { IMAGE } from "../kit/image/image.ts";
import { RealNode } from "../kit/node/node.ts";
import { Pair } from "../kit/node/pair.ts";
import { until } from "../kit/node/processes.ts";

export { until };

/** What a container saw or sees: read by a process inside it, or from the kernel, never from what we believe. */
export interface Seen {
  /** `Cpus_allowed_list` of a new process in the container. */
  readonly exec: string;
  /** The same of the container's first instruction, from its log. */
  readonly first: string;
}

interface ContainerSpec {
  readonly name?: string;
  readonly claims?: readonly { readonly name: string; readonly request?: string }[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly command?: readonly string[];
  readonly limits?: Readonly<Record<string, string>>;
}

interface PodSpec {
  readonly name: string;
  /** Claim from the template of that name; or a claim by name with `claimName`. */
  readonly template?: string;
  readonly claimName?: string;
  readonly containers?: readonly ContainerSpec[];
  readonly restartPolicy?: string;
}

/** The suite's one node and pair, and the things that flows do with them. */
export class World {
  readonly node: RealNode;
  readonly pair: Pair;

  constructor(syncFrequency = "10s") {
    this.node = new RealNode({ syncFrequency });
    this.pair = new Pair(this.node);
  }

  async start(): Promise<void> {
    const ms = await this.node.start();
    console.log(`    node Ready in ${(ms / 1000).toFixed(1)} s`);
    await this.pair.start();
    await this.node.apply(
      {
        apiVersion: "resource.k8s.io/v1",
        kind: "DeviceClass",
        metadata: { name: "dra.cpu" },
        spec: { selectors: [{ cel: { expression: 'device.driver == "dra.cpu"' } }] },
      },
      claimTemplate("one", "1"),
      claimTemplate("half", "500m"),
      claimTemplate("many", "64"),
    );
  }

  createPod(spec: PodSpec): Promise<void> {
    const claim = spec.template ?? spec.claimName;
    const claims =
      claim === undefined
        ? {}
        : {
            resourceClaims: [
              {
                name: "cpus",
                ...(spec.template === undefined ? { resourceClaimName: claim } : { resourceClaimTemplateName: claim }),
              },
            ],
          };
    const containers = spec.containers ?? [claim === undefined ? {} : { claims: [{ name: "cpus" }] }];
    return this.node.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: spec.name },
      spec: {
        terminationGracePeriodSeconds: 1,
        restartPolicy: spec.restartPolicy ?? "Always",
        ...claims,
        containers: containers.map((one, n) => ({
          name: one.name ?? `c${n}`,
          image: IMAGE,
          imagePullPolicy: "Never",
          command: one.command ?? ["/probe"],
          ...(one.env === undefined ? {} : { env: one.env }),
          resources: {
            ...(one.claims === undefined ? {} : { claims: one.claims }),
            ...(one.limits === undefined ? {} : { limits: one.limits }),
          },
        })),
      },
    });
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

  async seen(pod: string, container = "c0"): Promise<Seen> {
    const exec = await this.node.kubectl(
      "exec",
      pod,
      "-c",
      container,
      "--",
      "grep",
      "Cpus_allowed_list",
      "/proc/self/status",
    );
    const log = await this.node.kubectl("logs", pod, "-c", container);
    return { exec: list(exec), first: list(log) };
  }

  /** The environment of the container's first process, which a shell would filter. */
  async environment(pod: string, container = "c0"): Promise<string[]> {
    const text = await this.node.kubectl("exec", pod, "-c", container, "--", "cat", "/proc/1/environ");
    return text.split("\0");
  }

  /** A file of a controller of the container's cgroup. */
  async cgroupFile(pod: string, controller: string, file: string): Promise<string> {
    const found = await this.node.json<{
      metadata: { uid: string };
      status: { qosClass: string; containerStatuses: { containerID: string }[] };
    }>("get", "pod", pod);
    const qos = found.status.qosClass === "Guaranteed" ? "" : `/${found.status.qosClass.toLowerCase()}`;
    const id = found.status.containerStatuses[0]?.containerID.replace("containerd://", "") ?? "";
    return readFileSync(
      join("/sys/fs/cgroup", controller, `kubepods${qos}/pod${found.metadata.uid}/${id}`, file),
      "utf8",
    ).trim();
  }

  async firstPid(pod: string): Promise<number> {
    return Number((await this.cgroupFile(pod, "cpuset", "cgroup.procs")).split("\n")[0]);
  }

  /** Messages of a pod's Events. */
  async events(pod: string): Promise<string[]> {
    const found = await this.node.json<{ items: { involvedObject: { name: string }; message: string }[] }>(
      "get",
      "events",
    );
    return found.items.filter((one) => one.involvedObject.name === pod).map((one) => one.message);
  }

  async event(pod: string, contains: string, ms = 60_000): Promise<string> {
    return until(
      `an Event of pod ${pod} that says ${JSON.stringify(contains)}`,
      async () => (await this.events(pod)).find((text) => text.includes(contains)),
      ms,
      200,
    );
  }

  async remove(...pods: string[]): Promise<void> {
    await this.node.kubectl("delete", "pod", "--wait=true", "--ignore-not-found", "--timeout=60s", ...pods);
  }

  async removeAll(): Promise<void> {
    await this.node.kubectl("delete", "pods", "--all", "--wait=true", "--timeout=60s");
    await until(
      "no CPU is held",
      async () => ((await this.pair.state<{ pool?: { held?: string } }>()).pool?.held ?? "") === "",
      20_000,
    );
  }

  /** Waits for a line of the driver's log after which nothing of the container was created yet. */
  async driverSays(text: string): Promise<void> {
    const log = this.pair.driver?.log ?? "";
    const from = existsSync(log) ? readFileSync(log, "utf8").length : 0;
    await until(`the driver says ${text}`, () => readFileSync(log, "utf8").slice(from).includes(text), 30_000, 2);
  }

  async stop(): Promise<void> {
    await this.node.stop();
  }
}

export function claimTemplate(name: string, cpus: string): object {
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaimTemplate",
    metadata: { name },
    spec: { spec: claimSpec(cpus) },
  };
}

export function claim(name: string, cpus: string): object {
  return { apiVersion: "resource.k8s.io/v1", kind: "ResourceClaim", metadata: { name }, spec: claimSpec(cpus) };
}

function claimSpec(cpus: string): object {
  return {
    devices: {
      requests: [
        { name: "cpus", exactly: { deviceClassName: "dra.cpu", capacity: { requests: { "dra.cpu/cpu": cpus } } } },
      ],
    },
  };
}

function list(text: string): string {
  return /Cpus_allowed_list:\s*(\S+)/.exec(text)?.[1] ?? `nothing in ${JSON.stringify(text.slice(0, 100))}`;
}
