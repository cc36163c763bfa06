import { join } from "node:path";
import { judge } from "../faults/judge.ts";
import { now, Observer, type Recording, type Seen } from "../faults/observer.ts";
import type { ContainerHandle, PodHandle } from "../kit/containerd/pods.ts";
import type { NativeLab } from "./nativelab.ts";

/** What an observer in a process of its own saw of a lab's containers. */
export class Watching {
  readonly #observer: Observer;
  #recording: Recording | undefined;

  private constructor(lab: NativeLab) {
    this.#observer = new Observer(lab.runtime.cpusets, join(lab.runtime.dir, `seen-${now()}`));
  }

  static async start(lab: NativeLab): Promise<Watching> {
    const watching = new Watching(lab);
    await watching.#observer.started();
    return watching;
  }

  async stop(): Promise<void> {
    this.#recording ??= await this.#observer.stop();
  }

  /** CPUs of a container's cgroup, one change after the other, as far as they were seen between two times. */
  masks({ id }: ContainerHandle, from: number, to: number): string[] {
    const seen = this.#seen().filter((one) => one.container === id && one.t >= from && one.t <= to);
    return seen.map((one) => one.cpus);
  }

  /** Sentences about each container without a claim that was on a CPU while one of these pods, whose claims have one CPU, ran on it. */
  overlaps(claimed: readonly PodHandle[]): string[] {
    const recording = this.#recording;
    if (recording === undefined) throw new Error("it still watches");
    const claims = new Map(claimed.map(({ uid }) => [uid, { uid, cpus: 1 }]));
    const { failures, episodes, claimed: ran } = judge(recording, { claims, away: [] });
    if (ran === 0) throw new Error("no container of a claim was seen to run");
    // What is left of a millisecond is that of a look.
    const others = episodes.filter(({ ms }) => ms > 1);
    return [...failures, ...others.map((one) => `${one.who} for ${one.ms.toFixed(1)} ms`)];
  }

  #seen(): readonly Seen[] {
    if (this.#recording === undefined) throw new Error("it still watches");
    return this.#recording.seen;
  }
}
