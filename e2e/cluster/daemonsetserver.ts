import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";

/** What may differ between two templates of the DaemonSet. */
export interface Template {
  readonly driver: string;
  readonly agent: string;
  readonly checksum: string;
  readonly agentArg?: string;
  readonly driverArg?: string;
  readonly volume?: string;
  /** Of the step before the agent, where there is one. */
  readonly labels?: { readonly image: string; readonly arg: string };
}

interface PlayedPod {
  readonly name: string;
  readonly node: string;
  readonly isReady: boolean;
  isDead: boolean;
  driver: string;
  agent: string;
  hash: string;
  starts: number;
}

const LABELS = { app: "dracpu" };
const RESOURCES = {
  v1: ["pods", "Pod", true, "nodes", "Node", false],
  "apps/v1": ["daemonsets", "DaemonSet", true, "controllerrevisions", "ControllerRevision", true],
} as const;

function containersOf(template: Template): object {
  const { labels } = template;
  return {
    initContainers: [
      ...(labels === undefined
        ? []
        : [{ name: "node-labels", args: ["node-labels", labels.arg], image: labels.image }]),
      { name: "nri-agent", args: ["run", template.agentArg ?? ""], image: template.agent },
    ],
    containers: [{ name: "driver", args: ["run", template.driverArg ?? ""], image: template.driver }],
  };
}

/** As much of an API server as kubectl needs to look at one DaemonSet in namespace `ns`, and to patch its pods' images; its kubelets start at once what is patched. */
export class DaemonSetServer {
  readonly pods: PlayedPod[] = [];
  patches = 0;
  /** What still runs of a node's pod that is being stopped, as its status lists it: one list for each time that is asked. */
  readonly ending = new Map<string, string[]>();
  onStart: (pod: string) => void = () => {};
  readonly #revisions: Template[];

  constructor(template: Template) {
    this.#revisions = [template];
  }

  addPod(node: string, more: Partial<Pick<PlayedPod, "isReady" | "isDead" | "driver">> = {}): void {
    const { driver, agent } = this.#template;
    const pod = { name: `pod-${node}`, node, isReady: true, isDead: false, driver, agent, hash: this.#hash, starts: 0 };
    this.pods.push({ ...pod, ...more });
  }

  setTemplate(template: Template): void {
    this.#revisions.push(template);
  }

  async serve(): Promise<Server> {
    const server = createServer((request, response) => {
      void this.#answer(request).then((answer) => {
        response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
        response.end(JSON.stringify(answer ?? { kind: "Status", apiVersion: "v1", status: "Failure", code: 404 }));
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return server;
  }

  get #template(): Template {
    return this.#revisions.at(-1) as Template;
  }

  get #hash(): string {
    return `hash-${this.#revisions.length}`;
  }

  async #answer(request: IncomingMessage): Promise<object | undefined> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://x");
    const name = pathname.split("/").at(-1) ?? "";
    const pod = this.pods.find((one) => one.name === name);
    if (request.method === "PATCH") {
      if (pod !== undefined) this.#patch(pod, await bodyOf(request));
      return pod === undefined ? undefined : this.#pod(pod);
    }
    if (pathname === "/api") return { kind: "APIVersions", versions: ["v1"] };
    if (pathname === "/apis") {
      const version = { groupVersion: "apps/v1", version: "v1" };
      const groups = [{ name: "apps", versions: [version], preferredVersion: version }];
      return { kind: "APIGroupList", apiVersion: "v1", groups };
    }
    if (pathname === "/api/v1") return resources("v1");
    if (pathname === "/apis/apps/v1") return resources("apps/v1");
    if (pathname.startsWith("/api/v1/nodes/")) {
      const status = this.pods.some((one) => one.node === name && one.isReady) ? "True" : "Unknown";
      return {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name },
        status: { conditions: [{ type: "Ready", status }] },
      };
    }
    if (pathname.endsWith("/daemonsets/dracpu"))
      return {
        apiVersion: "apps/v1",
        kind: "DaemonSet",
        metadata: { name, namespace: "ns", generation: 2 },
        spec: {
          updateStrategy: { type: "OnDelete" },
          selector: { matchLabels: LABELS },
          template: this.#templateOf(this.#template),
        },
        status: { observedGeneration: 2 },
      };
    if (pathname.endsWith("/controllerrevisions")) {
      const wanted = /controller-revision-hash=(.*)/.exec(searchParams.get("labelSelector") ?? "")?.[1];
      const items = this.#revisions.map((template, n) => ({
        apiVersion: "apps/v1",
        kind: "ControllerRevision",
        metadata: { name: `r${n}`, labels: { "controller-revision-hash": `hash-${n + 1}` } },
        revision: n + 1,
        data: { spec: { template: { $patch: "replace", ...this.#templateOf(template) } } },
      }));
      return {
        kind: "ControllerRevisionList",
        apiVersion: "apps/v1",
        metadata: {},
        items: items.filter((one) => [undefined, one.metadata.labels["controller-revision-hash"]].includes(wanted)),
      };
    }
    if (pathname === "/api/v1/pods") {
      const node = searchParams.get("fieldSelector")?.replace("spec.nodeName=", "") ?? "";
      const list = this.ending.get(node)?.shift();
      const metadata = { name: "stubborn", namespace: "default", deletionTimestamp: "2026-01-01T00:00:00Z" };
      const running = [{ name: "c", state: { running: { startedAt: "2026-01-01T00:00:00Z" } } }];
      const items = list === undefined ? [] : [{ metadata, status: { [list]: running } }];
      return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
    }
    if (pathname.endsWith("/pods"))
      return { kind: "PodList", apiVersion: "v1", metadata: {}, items: this.pods.map((one) => this.#pod(one)) };
    return pod === undefined ? undefined : this.#pod(pod);
  }

  #templateOf(template: Template): object {
    const volumes = [{ name: template.volume ?? "config", emptyDir: {} }];
    return {
      metadata: { labels: LABELS, annotations: { "checksum/config": template.checksum } },
      spec: { ...containersOf(template), volumes },
    };
  }

  #pod(pod: PlayedPod): object {
    const { name, node, hash, isDead, isReady, starts } = pod;
    const state = isDead ? { waiting: { reason: "ImagePullBackOff" } } : { running: {} };
    // A runtime's own name for the image.
    const status = { image: "sha256:0", containerID: `containerd://${name}-${starts}`, ready: !isDead, state };
    return {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "ns", labels: { ...LABELS, "controller-revision-hash": hash } },
      spec: { nodeName: node, ...containersOf({ ...pod, checksum: "" }) },
      status: {
        conditions: [{ type: "Ready", status: isReady && !isDead ? "True" : "False" }],
        initContainerStatuses: [{ name: "nri-agent", ...status }],
        containerStatuses: [{ name: "driver", ...status }],
      },
    };
  }

  #patch(
    pod: PlayedPod,
    body: { metadata: { labels: Record<string, string> }; spec: { initContainers: { image: string }[] } },
  ): void {
    this.patches += 1;
    pod.hash = body.metadata.labels["controller-revision-hash"] ?? "";
    const image = body.spec.initContainers[0]?.image ?? "";
    if (image === pod.agent) return;
    pod.agent = image;
    pod.starts += 1;
    pod.isDead = false;
    this.onStart(pod.name);
  }
}

async function bodyOf<T>(request: IncomingMessage): Promise<T> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return JSON.parse(text) as T;
}

function resources(groupVersion: keyof typeof RESOURCES): object {
  const [one, kind, isOneNamespaced, two, other, isTwoNamespaced] = RESOURCES[groupVersion];
  const verbs = ["get", "list", "patch"];
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion,
    resources: [
      { name: one, singularName: kind.toLowerCase(), namespaced: isOneNamespaced, kind, verbs },
      { name: two, singularName: other.toLowerCase(), namespaced: isTwoNamespaced, kind: other, verbs },
    ],
  };
}
