import { setTimeout as sleep } from "node:timers/promises";
import { now } from "./observer.ts";
import { Random } from "./random.ts";

/** Something that befalls the node; it is over when it resolves. */
export interface Blow {
  readonly name: string;
  run(random: Random): Promise<void>;
}

export interface Climate {
  /** Pods a second. */
  readonly rate: number;
  /** Pods at one time. */
  readonly most: number;
  /** Milliseconds between two blows. */
  readonly pause: readonly [number, number];
  readonly blows: readonly Blow[];
  /** A pod from its creation to its end; what it promises is checked inside. */
  pod(n: number, random: Random): Promise<void>;
}

export interface Tally {
  readonly pods: number;
  readonly blows: Readonly<Record<string, number>>;
  /** What pods and blows threw, with when. */
  readonly failures: readonly string[];
}

/**
 * Lets pods come and go while things befall the node, each from random numbers of its own, so that a seed gives the same pods and blows, however
 * the machine's other work shifts them in time.
 */
export async function weather(climate: Climate, seed: number, ms: number): Promise<Tally> {
  const end = now() + ms;
  const failures: string[] = [];
  const blows: Record<string, number> = {};
  const living = new Set<Promise<void>>();
  const guarded = async (what: string, work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (cause) {
      failures.push(`${what} at ${(now() / 1000).toFixed(3)} s: ${(cause as Error).message}`);
    }
  };
  let pods = 0;
  const come = async (): Promise<void> => {
    const random = new Random(seed);
    while (now() < end && failures.length === 0) {
      await sleep((1000 / climate.rate) * random.between(0.5, 1.5));
      if (living.size >= climate.most) await Promise.race(living);
      pods += 1;
      const life = guarded(`pod ${pods}`, climate.pod(pods, new Random(seed + pods)));
      living.add(life);
      void life.finally(() => living.delete(life));
    }
  };
  const blow = async (): Promise<void> => {
    const random = new Random(seed ^ 0x5eed);
    while (now() < end && failures.length === 0) {
      await sleep(random.between(...climate.pause));
      const { name, run } = random.pick(climate.blows);
      blows[name] = (blows[name] ?? 0) + 1;
      await guarded(name, run(new Random(Math.floor(random.between(0, 2 ** 31)))));
    }
  };
  await Promise.all([come(), blow()]);
  await Promise.all(living);
  return { pods, blows, failures };
}
