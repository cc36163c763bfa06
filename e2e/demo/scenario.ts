import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { EmbeddedNode, PodPlan, RunningPod } from "../kit/embedded/node.ts";
import type { Stage } from "./stage.ts";

/** Containers that share what is left. */
const ORDINARY: readonly PodPlan[] = [
  { namespace: "kube-system", name: "coredns", containers: ["dns"] },
  { namespace: "shop", name: "web", containers: ["nginx", "log-shipper"] },
  { namespace: "shop", name: "batch", containers: ["worker"] },
];

interface Act {
  readonly node: EmbeddedNode;
  readonly stage: Stage;
  /** The picture of the machine now, as text. */
  draw(): Promise<string>;
}

/** What a node goes through, told and checked step by step. @returns true where everything was as promised. */
export async function play(act: Act): Promise<boolean> {
  const { node, stage } = act;
  const claimed = plans(node.online.size);
  stage.step("Ordinary pods: everybody shares every CPU");
  for (const plan of ORDINARY) await node.submit(plan);
  await agree(act);

  stage.step("Pods with claims: each gets CPUs of its own, and everybody else leaves them");
  for (const plan of claimed) {
    const pod = await node.submit(plan);
    stage.say(`${plan.namespace}/${plan.name} asked for ${plan.claim?.cpus ?? 0} and has ${cpus(node, pod)}`);
  }
  await agree(act);
  stage.say(await act.draw());

  stage.step("The driver is killed (SIGKILL)");
  const before = masks(node);
  await node.kill("driver");
  await stage.check("nothing moves", () => masks(node) === before);
  await node.submit({ namespace: "shop", name: "newcomer", containers: ["main"] });
  await agree(act, "a new pod is kept off the claims, without the driver");
  stage.say(await act.draw());
  await node.startDriver();
  await stage.check("it is back, and knows every claim", async () => (await node.agent.state()).truth === 3);
  await agree(act);

  stage.step("The agent is killed, and somebody wants to start a claim's container meanwhile");
  const still = masks(node);
  await node.kill("agent");
  await stage.check("nothing moves", () => masks(node) === still);
  const late = await gate(act, claimed);
  await node.startAgent();
  await stage.check(
    "the agent is back, and knows all again",
    async () => (await node.agent.state()).problems.length === 0,
  );
  if (late !== undefined) {
    await node.retry(late);
    stage.say(`the kubelet tried again: ${late.plan.namespace}/${late.plan.name} runs, on ${cpus(node, late)}`);
  }
  await agree(act);

  await meddle(act);

  stage.step("A pod with a claim ends");
  const [first] = [...node.pods.values()].filter((pod) => pod.claim !== undefined);
  if (first !== undefined) {
    const freed = CpuSet.parse(Object.values(node.cpusOf(first))[0] ?? "");
    await node.remove(first);
    await stage.check(`its CPUs ${freed.toString()} are everybody's again`, () => freed.isSubsetOf(shared(node)));
  }
  await agree(act);
  return stage.failures === 0;
}

/** What fits on a machine of so many CPUs, one of which stays with the shared pool. */
function plans(all: number): PodPlan[] {
  const sizes: readonly (readonly [string, string, number, Record<string, string>?])[] = [
    ["shop", "database", 8],
    ["trading", "orders", 4, { cores: "whole" }],
    ["media", "transcoder", 6],
    ["trading", "quotes", 1],
  ];
  let left = Math.min(all - 1, Math.floor(all / 2));
  return sizes.flatMap(([namespace, name, cpus, parameters]) => {
    if (cpus > left) return [];
    left -= cpus;
    const claim = { cpus, ...(parameters === undefined ? {} : { parameters }) };
    return [{ namespace, name, containers: ["main"], claim }];
  });
}

/** The promises, as the kernel's files say: claims alone on their CPUs, all others off them, nobody without CPUs. */
async function agree(
  { node, stage }: Act,
  what = "every container runs where it should, and nowhere else",
): Promise<void> {
  await stage.check(what, () => {
    const own = [...node.pods.values()].filter((pod) => pod.claim !== undefined && pod.containers.length > 0);
    const sets = own.map((pod) => CpuSet.union(Object.values(node.cpusOf(pod)).map((text) => CpuSet.parse(text))));
    const taken = CpuSet.union(sets);
    const alone = sets.reduce((sum, set) => sum + set.size, 0) === taken.size;
    const asked = own.every((pod, n) => sets[n]?.size === pod.plan.claim?.cpus);
    return alone && asked && !shared(node).isEmpty && !shared(node).overlaps(taken);
  });
}

/** A pod whose claim was prepared before the agent went, and whose container the runtime shall start now. */
async function gate({ node, stage }: Act, claimed: readonly PodPlan[]): Promise<RunningPod | undefined> {
  const [pod] = [...node.pods.values()].filter((one) => one.plan.name === claimed.at(-1)?.name);
  if (pod === undefined) return undefined;
  await node.stopContainers(pod);
  try {
    await node.retry(pod);
    await stage.check("the runtime starts no claim's container", () => false, 0);
  } catch (cause) {
    stage.say(`${pod.plan.namespace}/${pod.plan.name} restarts: ${(cause as Error).message}`);
    await stage.check("the gate holds: no claim's container starts unpinned", () =>
      (cause as Error).message.includes("container-not-pinned-because-the-nri-agent-was-away"),
    );
  }
  return pod;
}

async function meddle(act: Act): Promise<void> {
  const { node, stage } = act;
  const victim = node.pods.get("web")?.containers[0];
  const was = victim === undefined ? undefined : node.containers.cpusOf(victim);
  if (victim === undefined || was === node.online.toString()) return;
  stage.step("Something else on the node widens a container's mask");
  node.cgroups.set(victim.id, node.online.toString());
  stage.say(`shop/web/${victim.name}: ${was ?? ""} became ${node.online.toString()}`);
  await stage.check("it is found, put back, and counted", async () => {
    const { counters } = await node.agent.state();
    return node.containers.cpusOf(victim) === was && (counters?.escapes ?? 0n) > 0n && (counters?.repairs ?? 0n) > 0n;
  });
  await agree(act);
}

/** All that ordinary containers may use. */
function shared(node: EmbeddedNode): CpuSet {
  const ordinary = [...node.pods.values()].filter((pod) => pod.claim === undefined);
  return CpuSet.union(ordinary.flatMap((pod) => Object.values(node.cpusOf(pod)).map((text) => CpuSet.parse(text))));
}

function masks(node: EmbeddedNode): string {
  return JSON.stringify([...node.pods.values()].map((pod) => node.cpusOf(pod)));
}

function cpus(node: EmbeddedNode, pod: RunningPod): string {
  return `CPUs ${Object.values(node.cpusOf(pod)).join(", ")}`;
}
