import { setTimeout as sleep } from "node:timers/promises";
import type { ContainerHandle, ContainerOptions, PodHandle } from "../../kit/containerd/pods.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { until } from "../../kit/node/processes.ts";
import { PROGRAMS, type Program } from "../lives.ts";
import type { Random } from "../random.ts";
import type { Blow, Climate } from "../weather.ts";
import type { FaultWorld } from "./world.ts";

/** The runtime gives a plugin 2 s. */
const PAST_THE_LIMIT_MS = [2200, 4000] as const;

export interface Pace extends Pick<Climate, "rate" | "most" | "pause"> {
  /** Share of the pods that have a claim. */
  readonly claimed: number;
  /** Longest life of a container with a claim, in milliseconds. */
  readonly lives: number;
}

/** Pods and blows on containerd alone. */
export function runtimeClimate(
  world: FaultWorld,
  { claimed, lives, ...pace }: Pace = { rate: 2, most: 14, pause: [1500, 5000], claimed: 0.3, lives: 1500 },
): Climate {
  return { ...pace, blows: blowsOf(world), pod: (n, random) => life(world, n, random, { claimed, lives }) };
}

function blowsOf(world: FaultWorld): Blow[] {
  const down = async (which: readonly Program[], random: Random, longest: number): Promise<void> => {
    const back = which.map(() => random.between(0, longest));
    await Promise.all(which.map((one, n) => world.lives.kill(one, () => sleep(back[n]))));
  };
  return [
    ...PROGRAMS.map((which) => ({ name: `${which} killed`, run: () => world.lives.kill(which) })),
    ...PROGRAMS.map((which) => ({ name: `${which} down`, run: (random: Random) => down([which], random, 6000) })),
    { name: "both down, back in any order", run: (random) => down(PROGRAMS, random, 6000) },
    ...PROGRAMS.map((which) => ({
      name: `${which} ends by TERM`,
      run: () => world.lives.kill(which, undefined, "SIGTERM"),
    })),
    {
      name: "agent stopped past the limit",
      run: (random) => world.lives.still("agent", random.between(...PAST_THE_LIMIT_MS)),
    },
    { name: "driver stopped", run: (random) => world.lives.still("driver", random.between(500, 5000)) },
    { name: "containerd killed", run: (random) => world.runtimeDown(random.between(0, 3000)) },
    { name: "containerd stopped", run: (random) => world.runtimeStill(random.between(500, 3000)) },
  ];
}

/** Some of those with a claim are force-deleted: unprepared while their container still runs. */
async function life(
  world: FaultWorld,
  n: number,
  random: Random,
  pace: Pick<Pace, "claimed" | "lives">,
): Promise<void> {
  const isClaimed = random.next() < pace.claimed;
  const isForced = random.next() < 0.2;
  const lives = random.between(200, isClaimed ? pace.lives : 5000);
  const lingers = random.between(100, 2000);
  const pod = await insist(() => world.runtime.pods.pod(`p${n}`));
  const claim = isClaimed ? world.claim(pod.uid) : undefined;
  const ids = claim === undefined ? [] : await world.prepare(claim, 120_000);
  const container = await run(world, pod, { cdi: ids });
  if (claim !== undefined) {
    const first = await until("its first instruction wrote", () => container.first() || undefined, 20_000, 10);
    const cpus = CpuSet.parse(first);
    if (cpus.size !== 1 || !cpus.isSubsetOf(world.claimable))
      throw new Error(`the first instruction of claim ${claim.name} ran on ${first}`);
  }
  await sleep(lives);
  if (claim !== undefined && isForced) {
    await world.unprepare(claim);
    await sleep(lingers);
  }
  await insist(() => world.runtime.pods.remove(container));
  if (claim !== undefined && !isForced) await world.unprepare(claim);
  await insist(() => world.runtime.pods.removePod(pod));
}

/** As a kubelet: what could not be created or started is tried again with a new container. */
async function run(world: FaultWorld, pod: PodHandle, options: ContainerOptions): Promise<ContainerHandle> {
  let attempt = 0;
  return insist(async () => {
    const { pods } = world.runtime;
    attempt += 1;
    const id = await pods.create(pod, `c${attempt}`, options);
    try {
      return await pods.start(pod, `c${attempt}`, id);
    } catch (cause) {
      // Of the runtime that lives by then.
      await insist(() => world.runtime.pods.remove({ id }));
      throw cause;
    }
  });
}

/** The runtime may be away, the agent too; neither for long. */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  // What ends without a value is done too.
  return (await until("the runtime did it", async () => ({ value: await work() }), 90_000, 200)).value;
}
