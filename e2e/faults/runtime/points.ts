import { rmSync } from "node:fs";
import { join } from "node:path";
import type { ContainerHandle, ContainerOptions, PodHandle } from "../../kit/containerd/pods.ts";
import type { ClaimReference } from "../../kit/fakecluster/kubelet.ts";
import { until } from "../../kit/node/processes.ts";
import type { Call } from "../../kit/seam/seam.ts";
import { now } from "../observer.ts";
import type { Program } from "../lives.ts";
import type { FaultWorld } from "./world.ts";

/** Parts of a claim's life, in the order in which {@link Life.cycle} goes through them. */
export const STEPS = [
  "start on an empty disk",
  "Prepare",
  "Create",
  "Create of another",
  "restart",
  "Replace",
  "Unprepare",
] as const;
export type Step = (typeof STEPS)[number];

/** A step, and the program that is killed in it. */
export interface Part {
  readonly step: Step;
  readonly who: Program;
}

/** A driver that only watches makes no call that changes anything in the other steps. */
export const PARTS: readonly Part[] = [
  { step: "start on an empty disk", who: "driver" },
  { step: "start on an empty disk", who: "agent" },
  { step: "Prepare", who: "driver" },
  { step: "Prepare", who: "agent" },
  { step: "Create", who: "agent" },
  { step: "Create of another", who: "agent" },
  { step: "restart", who: "driver" },
  { step: "restart", who: "agent" },
  { step: "Replace", who: "agent" },
  { step: "Unprepare", who: "driver" },
  { step: "Unprepare", who: "agent" },
];

/** An instant: before or after the n-th call of the part that changes something. */
export interface Point {
  readonly part: Part;
  /** From 1. */
  readonly at: number;
  readonly after: boolean;
}

export interface Outcome {
  readonly point: Point | undefined;
  readonly part: Part;
  readonly from: number;
  readonly to: number;
  /** Whether the program came to the point. */
  readonly died: boolean;
  readonly calls: readonly Call[];
}

export function nameOf({ step, who }: Part): string {
  return `${step}, ${who}`;
}

/** Lives of claims, one after the other, with a program killed at a point of each part, and what has to be true afterwards. */
export class Life {
  readonly outcomes: Outcome[] = [];
  readonly #world: FaultWorld;
  #shared: ContainerHandle | undefined;
  #attempts = 0;

  constructor(world: FaultWorld) {
    this.#world = world;
  }

  /** A container that shares, and runs all the time. */
  async begin(): Promise<void> {
    const { pods } = this.#world.runtime;
    this.#shared = await this.#run(await pods.pod("shared"), "s");
  }

  /**
   * One claim from its allocation to its end. Parts without a point that nothing else needs are left out.
   *
   * @param points at most one a part; @param trace goes through all parts and kills nobody.
   */
  async cycle(points: readonly Point[], trace = false): Promise<void> {
    const world = this.#world;
    const { pods } = world.runtime;
    const of = (step: Step): (Point | Part)[] => {
      const here = points.filter(({ part }) => part.step === step);
      return here.length === 0 && trace ? PARTS.filter((part) => part.step === step) : here;
    };
    for (const one of of("start on an empty disk")) await this.#during(one, () => this.#afresh(partOf(one).who));
    const pod = await pods.pod("claimed");
    const claim = world.claim(pod.uid);
    let ids: string[] = [];
    await this.#atOnce(of("Prepare"), async () => {
      ids = await world.prepare(claim);
    });
    let container: ContainerHandle | undefined;
    await this.#atOnce(of("Create"), async () => {
      container = await this.#run(pod, "x", { cdi: ids });
    });
    if (container === undefined) throw new Error("no container");
    await this.#isAlone(container);
    for (const one of of("Create of another")) {
      const other = await this.#during(one, async () => this.#run(await pods.pod("other"), "o"));
      await this.#shares(other);
      await pods.remove(other);
      await pods.removePod(other.pod);
    }
    for (const one of of("restart")) await this.#during(one, () => this.#restart(partOf(one).who));
    for (const one of of("Replace")) await this.#during(one, () => this.#restart("driver"));
    await this.#isAlone(container);
    await this.#atOnce(of("Unprepare"), () => this.#end(claim, container as ContainerHandle));
    await pods.removePod(pod);
  }

  /** A step that cannot be repeated within one life: the programs are armed together. */
  async #atOnce(points: readonly (Point | Part)[], run: () => Promise<void>): Promise<void> {
    const begun = points.map((one) => this.#arm(one));
    await run();
    for (const end of begun) await end();
  }

  async #during<T>(point: Point | Part, run: () => Promise<T>): Promise<T> {
    const end = this.#arm(point);
    const answer = await run();
    await end();
    return answer;
  }

  #arm(one: Point | Part): () => Promise<void> {
    const world = this.#world;
    const part = partOf(one);
    const point = "at" in one ? one : undefined;
    const seam = world.lives.seams[part.who];
    const deaths = world.lives.deaths[part.who];
    const from = now();
    // A program that is started in its step is armed from its first instruction, by whoever starts it.
    this.#armed = { who: part.who, arm: () => seam.arm(point) };
    if (part.step !== "restart" && part.step !== "start on an empty disk") this.#armed.arm();
    return async () => {
      const died = world.lives.deaths[part.who] - deaths > (isStart(part) ? 1 : 0);
      const calls = seam.calls();
      seam.disarm();
      await world.agrees();
      this.outcomes.push({ point, part, from, to: now(), died, calls });
    };
  }
  #armed: { who: Program; arm: () => void } | undefined;

  async #restart(which: Program): Promise<void> {
    const world = this.#world;
    const armed = this.#armed?.who === which ? this.#armed.arm : undefined;
    await world.lives.kill(which, armed);
    await world.agrees();
  }

  /** As on a new node: nothing on the disk of the one that starts. */
  async #afresh(which: Program): Promise<void> {
    const world = this.#world;
    const armed = this.#armed?.arm;
    await world.lives.kill(which, () => {
      rmSync(join(world.runtime.dir, which), { recursive: true, force: true });
      armed?.();
    });
    await world.agrees();
  }

  /** As a kubelet: what could not be created or started is tried again with a new container. */
  async #run(pod: PodHandle, name: string, options: ContainerOptions = {}): Promise<ContainerHandle> {
    const { pods } = this.#world.runtime;
    return until(
      `container ${name} runs`,
      async () => {
        this.#attempts += 1;
        const called = `${name}-${this.#attempts}`;
        const id = await pods.create(pod, called, options);
        try {
          return await pods.start(pod, called, id);
        } catch (cause) {
          await pods.remove({ id });
          throw cause;
        }
      },
      30_000,
      50,
    );
  }

  /** From its first instruction on; and everybody else is off. */
  async #isAlone(container: ContainerHandle): Promise<void> {
    const first = await until("its first instruction wrote", () => container.first() || undefined, 20_000, 10);
    if (first !== "1" || container.allowed() !== "1")
      throw new Error(`the claim's container ran first on ${first}, and now on ${container.allowed()}`);
    if (this.#shared !== undefined) await this.#shares(this.#shared);
  }

  async #shares(container: ContainerHandle): Promise<void> {
    await until("the shared container is off the claim's CPU", () => container.allowed() === "0", 20_000, 10);
  }

  /** Container first, as the kubelet does; at the end nothing is left of the claim. */
  async #end(claim: ClaimReference, container: ContainerHandle): Promise<void> {
    const world = this.#world;
    await world.runtime.pods.remove(container);
    await world.unprepare(claim);
    await until(
      "nothing is left of the claim",
      async () => {
        const { claims, files } = world.disk();
        if (claims > 0 || files.length > 0) throw new Error(`${claims} claims, files ${files.join(", ")}`);
        return (await world.state()).pool?.held === "";
      },
      15_000,
      20,
    );
  }
}

function partOf(one: Point | Part): Part {
  return "part" in one ? one.part : one;
}

function isStart({ step }: Part): boolean {
  return step === "restart" || step === "start on an empty disk";
}
