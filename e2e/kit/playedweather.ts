import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { cpusOf, type PlayedClaim } from "./playeddriver.ts";
import type { PlayedNode } from "./playednode.ts";
import type { Step } from "./playedsteps.ts";
import { broken, leftovers } from "./playedpromises.ts";
import type { PlayedContainer } from "./playedruntime.ts";

const PODS = ["p0", "p1", "p2"];
/** CPUs that claims ask for; CPU 0 and 15 belong to nobody. */
const BLOCKS = ["1-2", "3", "4-5", "6-9", "10-11", "12", "13-14"].map((text) => CpuSet.parse(text));

const NEEDS_AGENT = new Set<Step["do"]>(["claim", "release", "forget", "reconnect", "replace"]);

/** Plays steps on a node, judging after each; says what it did, for a failure to be read. */
export class Weather {
  readonly node: PlayedNode;
  readonly told: string[] = [];
  #containers = 0;
  /** Which container of each pod was created last. */
  readonly #newest = new Map<string, string>();
  /** Steps until a dead agent is started. */
  #awayFor = 0;
  #file = true;
  /** Somebody has changed cgroups since an agent was last there. */
  #isMeddled = false;

  constructor(node: PlayedNode) {
    this.node = node;
  }

  async play(all: readonly Step[]): Promise<void> {
    for (const step of all) {
      if (this.#awayFor > 0 && --this.#awayFor === 0) await this.#reborn();
      if (step.do === "kill") this.#kill(step);
      else if (!this.node.isDead || !NEEDS_AGENT.has(step.do)) await this.#done(() => this.#one(step));
      await this.node.clock.settle();
      this.#judge("now");
      if (this.node.isDead && this.#awayFor === 0) this.#awayFor = 1;
      await this.node.clock.pass(50);
      if (!this.node.isDead) this.#judge("watched");
    }
    this.node.hand.onWrite = () => {};
    if (this.node.isDead) await this.#reborn();
    await this.node.clock.pass(15_000);
    this.#judge("settled");
    await this.#empty();
  }

  /** When all is gone, everything can be claimed, and nothing is left behind. */
  async #empty(): Promise<void> {
    const { node } = this;
    for (const pod of [...node.runtime.pods.values()]) node.runtime.removePod(pod);
    await node.clock.pass(15_000);
    for (const claim of [...node.claims.values()]) await node.forget(claim);
    for (const qos of ["burstable", "besteffort"] as const) {
      const pod = node.runtime.pod(`last-${qos}`, qos);
      const claim = await node.claim({ cpus: "1-14" }, [pod.sandbox.uid]);
      const last = await node.run(pod, `last-${qos}`, claim);
      this.#judge("settled");
      if (node.levers.force === "kernel" && node.kernel.readPartition(last.cgroup) !== "root")
        this.#fail([`the last claim is held by ${node.kernel.readPartition(last.cgroup) ?? "nothing"}`]);
      node.runtime.removePod(pod);
      await node.clock.pass(15_000);
      await node.forget(claim);
    }
    const left = leftovers(node);
    if (left.length > 0) this.#fail(left);
  }

  #judge(when: "now" | "watched" | "settled"): void {
    const found = broken(this.node, when);
    if (found.length > 0) this.#fail(found);
  }

  /** Started while no agent was there, after one had let it pass: the kernel keeps others off it, where it is alone in its pod. */
  #judgeUnattended(one: PlayedContainer): void {
    const { kernel, runtime, levers } = this.node;
    if (levers.force !== "kernel" || one.cdi.length === 0 || this.#isMeddled) return;
    if ([...runtime.containers.values()].some((other) => other !== one && other.pod === one.pod)) return;
    const open = kernel.effective("").intersect(kernel.effective(one.cgroup));
    if (!open.isEmpty)
      this.#fail([`${one.id} was started unattended, and everybody may run on its CPUs ${open.toString()}`]);
  }

  #fail(found: readonly string[]): never {
    throw new Error(
      `${found.join("\n")}\nafter\n  ${this.told.join("\n  ")}\nwarnings\n  ${this.node.warnings.slice(-10).join("\n  ")}`,
    );
  }

  #kill({ atWrite, file, away }: Extract<Step, { do: "kill" }>): void {
    if (this.node.isDead) return;
    this.told.push(`the agent dies ${atWrite === 0 ? "" : `at write ${atWrite} `}${file ? "" : "with its file"}`);
    this.#file = file;
    if (atWrite > 0) this.node.dieAtWrite(atWrite);
    else {
      this.node.kill();
      this.#awayFor = away + 1;
    }
  }

  /** It is started again, on its own file or without one. */
  async #reborn(): Promise<void> {
    this.#awayFor = 0;
    this.#isMeddled = false;
    this.node.kill();
    await this.node.clock.pass(200);
    this.#judge("now");
    this.told.push("the agent starts");
    await this.node.start({ file: this.#file });
    this.#file = true;
    await this.node.clock.pass(50);
    this.#judge("watched");
  }

  async #done(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (cause) {
      const { name, message } = cause as Error;
      if (name !== "HookRefusal" && name !== "AgentDied" && !message.startsWith("cannot mount")) throw cause;
      this.told.push(`  ${message}`);
    }
  }

  async #one(step: Exclude<Step, { do: "kill" }>): Promise<void> {
    const { node } = this;
    const { runtime } = node;
    switch (step.do) {
      case "claim": {
        const taken = CpuSet.union(
          [...node.claims.values()].flatMap((claim) => [cpusOf(claim), CpuSet.parse(claim.idle)]),
        );
        const cpus = BLOCKS[step.cpus % BLOCKS.length] ?? CpuSet.empty;
        if (cpus.overlaps(taken)) return;
        const [first = 0, ...rest] = cpus.toArray();
        const pod = this.#pod(step.pod);
        const shares =
          step.kind === "split" && rest.length > 0
            ? { a: String(first), b: CpuSet.from(rest).toString() }
            : step.kind === "idle" && rest.length > 0
              ? { cpus: String(first) }
              : { cpus: cpus.toString() };
        const idle = step.kind === "idle" ? CpuSet.from(rest).toString() : "";
        this.told.push(
          `claim ${JSON.stringify(shares)} for ${pod}${step.kind === "isolated" ? ", isolated" : ""}${idle === "" ? "" : `, idle ${idle}`}`,
        );
        await node.claim(shares, [pod], { isolated: step.kind === "isolated", idle });
        return;
      }
      case "run":
      case "create": {
        const pod = this.#pod(step.pod);
        const claims = [...node.claims.values()].filter(
          (claim) => claim.pods.includes(pod) && claim.state === "prepared",
        );
        const claim = claims[step.claim % (claims.length + 1)];
        const requests = claim === undefined ? [] : Object.keys(claim.shares);
        const request =
          step.do === "run" && !step.whole ? requests[step.claim % Math.max(1, requests.length)] : undefined;
        this.#containers += 1;
        const id = `${claim === undefined ? "s" : "x"}${this.#containers}`;
        this.told.push(
          `${step.do} ${id} in ${pod}${claim === undefined ? "" : ` on ${claim.uid.slice(0, 8)} ${request ?? ""}`}`,
        );
        if (claim !== undefined && !node.isDead && !(await this.#isReady(claim))) return;
        this.#newest.set(pod, id);
        const sandbox = runtime.pod(pod, PODS.indexOf(pod) % 2 === 0 ? "besteffort" : "burstable");
        if (step.do === "run") await node.run(sandbox, id, claim, request);
        else node.create(sandbox, id, claim);
        return;
      }
      case "start": {
        // The kubelet creates no container of a pod before the one before it was started, or has failed for good.
        const one = this.#which(
          step.which,
          (each) =>
            each.state === "created" &&
            (node.levers.force !== "kernel" || this.#newest.get(each.pod.sandbox.uid) === each.id),
        );
        if (one === undefined) return;
        this.told.push(`start ${one.id}`);
        await node.begin(one);
        if (node.isDead) this.#judgeUnattended(one);
        return;
      }
      case "stop":
      case "end":
      case "update": {
        const one = this.#which(step.which, (each) => each.state === "running");
        if (one === undefined) return;
        this.told.push(`${step.do} ${one.id}`);
        if (step.do === "stop") runtime.stop(one);
        else if (step.do === "update") runtime.update(one, "0-15");
        else await node.end(one);
        return;
      }
      case "removePod": {
        const pods = [...runtime.pods.values()];
        const pod = pods[step.which % Math.max(1, pods.length)];
        if (pod === undefined) return;
        this.told.push(`remove pod ${pod.sandbox.uid}`);
        runtime.removePod(pod);
        return;
      }
      case "release":
      case "forget": {
        const claims = [...node.claims.values()];
        const claim = claims[step.which % Math.max(1, claims.length)];
        if (claim === undefined) return;
        if (step.do === "release") {
          this.told.push(`release ${claim.uid.slice(0, 8)}`);
          await node.release(claim);
        } else if (claim.state === "draining" && (await node.progress(claim)).progress === Progress.DRAINED) {
          this.told.push(`forget ${claim.uid.slice(0, 8)}`);
          await node.forget(claim);
        }
        return;
      }
      case "meddle": {
        const one = this.#which(step.which, (each) => each.state === "running");
        // By updates alone, it is put right as long as nobody stops it, with replies at the next hook.
        if (one === undefined || node.levers.masks === "runtime") return;
        if (node.isDead && node.levers.force === "file") return;
        this.told.push(`somebody meddles with ${step.how} of ${one.id}`);
        if (step.how === "mask") node.kernel.write(one.cgroup, node.online);
        else if (step.how === "member") node.kernel.writePartition(one.cgroup, "member");
        else node.kernel.writeExclusive(one.pod.cgroup.slice(0, one.pod.cgroup.lastIndexOf("/")), CpuSet.empty);
        this.#isMeddled = node.isDead;
        if (!node.isDead) await node.clock.pass(12_000);
        // It died over it: with masks alone nobody puts right what somebody does to a claim's own container.
        if (node.isDead && node.levers.force === "file")
          node.kernel.write(one.cgroup, one.stored === "" ? node.online : CpuSet.parse(one.stored));
        return;
      }
      case "reconnect":
        this.told.push("the session is lost and comes back");
        runtime.disconnect(true);
        await node.clock.settle();
        await node.connect();
        return;
      case "replace":
        this.told.push("a new driver");
        await node.replace();
        return;
      case "pass":
        this.told.push(`${step.ms} ms pass`);
        await node.clock.pass(step.ms);
    }
  }

  /** The kubelet starts nothing before Prepare has succeeded. */
  async #isReady(claim: PlayedClaim): Promise<boolean> {
    for (let tries = 0; tries < 5; tries++) {
      if ((await this.node.progress(claim)).progress === Progress.ENFORCED) return true;
      await this.node.clock.pass(1000);
    }
    this.told.push(`  not enforced: ${(await this.node.progress(claim)).why}`);
    return false;
  }

  #pod(n: number): string {
    return PODS[n % PODS.length] ?? "";
  }

  #which(n: number, state: (one: PlayedContainer) => boolean): PlayedContainer | undefined {
    const found = [...this.node.runtime.containers.values()].filter(state);
    return found[n % Math.max(1, found.length)];
  }
}
