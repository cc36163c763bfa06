import { shipped } from "../../images/environment.ts";
import { allocatedClaim } from "../kit/driver.ts";
import { container, pod } from "../kit/enforcer.ts";
import { until } from "../kit/node/processes.ts";
import { queuedMs } from "../kit/queued.ts";
import { FakeWorld } from "./fakeworld.ts";
import { memoryOf, type Figures } from "./figures.ts";
import { timed } from "./machine.ts";

const ENV = Array.from({ length: 30 }, (_, n) => `VARIABLE_${n}=${"x".repeat(50)}`);
const HOOKS = 500;
/** Hooks that are told on their own: the agent's code is not compiled yet, or containers are being moved beside them. */
const FIRST = 50;
const SYNCHRONIZES = 11;
/** Rounds of claims that fit the machine together. */
const ROUNDS = 4;
const ROUND = 50;
const AT_ONCE = 32;
const UNQUEUED = "  without the time in the queue for a CPU";

/** Hooks, prepares and memory of both programs, measured by the other side of their sockets. */
export async function benchSockets(figures: Figures, bundles: { driver: string; agent: string }): Promise<void> {
  const world = new FakeWorld({
    driver: shipped(bundles.driver),
    agent: shipped(bundles.agent),
  });
  await world.listen();
  try {
    figures.title("from nothing, both programs as bundles");
    const began = performance.now();
    const plugin = world.runtime.plugin();
    world.agent.start();
    world.driver.start();
    const registered = world.kubelet.register().then(() => performance.now() - began);
    await plugin;
    figures.one("agent: start to registered with the runtime, driver's word included", performance.now() - began, "ms");
    figures.one("driver: start to registered with the kubelet", await registered, "ms");
    await world.runtime.synchronize([], []);
    await world.agent.synchronized();
    await until("a slice is published", () => world.api.slices.size > 0);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    memory(figures, world, "idle");

    figures.title("Prepare and Unprepare, fsync included; the CDI file in memory, as below /var/run");
    await prepares(figures, world);

    for (const shared of [0, 100, 500]) {
      figures.title(`hooks with ${shared} shared containers, 2 claims`);
      await hooks(figures, world, shared);
    }
    figures.title("after the load");
    await new Promise((resolve) => setTimeout(resolve, 3000));
    memory(figures, world, "after the load");
  } finally {
    await world.end();
  }
}

function claimed(world: FakeWorld, name: string): ReturnType<typeof allocatedClaim>["ref"] {
  const { claim, ref } = allocatedClaim(name, 2);
  world.api.claims.set(`default/${name}`, claim);
  return ref;
}

async function prepares(figures: Figures, world: FakeWorld): Promise<void> {
  const { kubelet } = world;
  const prepare = async (ref: ReturnType<typeof claimed>): Promise<void> => {
    const { error } = await kubelet.prepare(ref);
    if (error !== "") throw new Error(error);
  };
  const unprepare = async (ref: ReturnType<typeof claimed>): Promise<void> => {
    const error = await kubelet.unprepare(ref);
    if (error !== "") throw new Error(error);
  };
  const none: number[] = [];
  for (let n = 0; n < ROUND; n++) {
    none.push(await timed(() => kubelet.unprepare({ namespace: "default", name: "nobody", uid: `nobody${n}` })));
  }
  figures.times("Unprepare of nothing: gRPC alone", none);
  const up: number[] = [];
  const upRan: number[] = [];
  const down: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const refs = Array.from({ length: ROUND }, (_, n) => claimed(world, `serial${round}x${n}`));
    for (const ref of refs) {
      const before = queued(world);
      const took = await timed(() => prepare(ref));
      up.push(took);
      upRan.push(Math.max(0, took - (queued(world) - before)));
    }
    for (const ref of refs) down.push(await timed(() => unprepare(ref)));
    await released(world);
  }
  // Once per life of the process its code is not compiled yet.
  figures.times("Prepare, one after the other, the driver's first", up.slice(0, ROUND));
  figures.times("Prepare, one after the other", up.slice(ROUND), 20);
  figures.times(UNQUEUED, upRan.slice(ROUND));
  figures.times("Unprepare, one after the other", down);
  const upAll: number[] = [];
  const downAll: number[] = [];
  const whole: number[] = [];
  for (let round = 0; round < 10; round++) {
    const refs = Array.from({ length: AT_ONCE }, (_, n) => claimed(world, `all${round}x${n}`));
    whole.push(
      await timed(async () => upAll.push(...(await Promise.all(refs.map((ref) => timed(() => prepare(ref))))))),
    );
    downAll.push(...(await Promise.all(refs.map((ref) => timed(() => unprepare(ref))))));
    await released(world);
  }
  figures.times(`Prepare, ${AT_ONCE} at once, each`, upAll);
  figures.times(`Prepare, ${AT_ONCE} at once, until the last`, whole);
  figures.times(`Unprepare, ${AT_ONCE} at once, each`, downAll);
  for (const name of ["stay1", "stay2"]) await prepare(claimed(world, name));
}

/** Of all three processes, since each is measured by the others' waiting too. A machine with a CPU for each of them has only what is left. */
function queued({ agent, driver }: FakeWorld): number {
  return [agent.daemon?.pid, driver.daemon?.pid, process.pid].reduce<number>((sum, pid = 0) => sum + queuedMs(pid), 0);
}

/** What was unprepared is gone from the agent too, so that nothing of it is measured with what comes next. */
async function released(world: FakeWorld): Promise<void> {
  await until("all released claims are drained", async () => (await world.agent.state()).allocations.length === 0);
}

async function hooks(figures: Figures, world: FakeWorld, shared: number): Promise<void> {
  const { runtime } = world;
  const pods = Array.from({ length: Math.ceil(shared / 10) }, (_, n) => pod(`p${n}`));
  const containers = Array.from({ length: shared }, (_, n) =>
    container(`p${Math.floor(n / 10)}`, `s${shared}x${n}`, { env: ENV }),
  );
  world.cgroups.add(containers);
  const synchronizing: number[] = [];
  // A few only: an agent that lost its session backs off for seconds before it connects again.
  for (let n = 0; n < SYNCHRONIZES; n++) {
    const again = runtime.plugin();
    runtime.drop();
    await again;
    await runtime.synchronize(pods, containers);
    synchronizing.push(runtime.tookMs);
    await world.agent.synchronized();
    await settled(world);
  }
  const [first = 0, ...later] = synchronizing;
  figures.one("Synchronize, all of them to be moved", first, "ms");
  figures.times("Synchronize, again", later, shared === 500 ? 50 : undefined);
  await calls(figures, world, shared === 0 ? ", the agent's first" : `, while ${shared} are moved`, FIRST);
  await settled(world);
  await calls(figures, world, "", HOOKS, 2);
  // They have ended: the kernel would not keep a process of theirs, and the agent would ask for it beside each hook of the next round.
  for (const { id } of containers) world.cgroups.remove(id);
}

async function settled(world: FakeWorld): Promise<void> {
  await until("every mask is right", async () =>
    (await world.agent.state()).containers.every(({ mask }) => mask?.wanted === mask?.effective),
  );
  await new Promise((resolve) => setTimeout(resolve, 500));
}

/** Milliseconds of single calls. */
interface Calls {
  readonly took: number[];
  /** Of these, without what main threads could have run in and had no CPU. */
  readonly ran: number[];
}

async function calls(
  figures: Figures,
  world: FakeWorld,
  when: string,
  count: number,
  budgetMs?: number,
): Promise<void> {
  const { runtime } = world;
  const create: Calls = { took: [], ran: [] };
  const start: Calls = { took: [], ran: [] };
  const one = async (kind: Calls, call: () => Promise<unknown>): Promise<void> => {
    const before = queued(world);
    await call();
    kind.took.push(runtime.tookMs);
    kind.ran.push(Math.max(0, runtime.tookMs - (queued(world) - before)));
  };
  for (let n = 0; n < count; n++) {
    const made = container("p0", `h${when}${n}`, { env: ENV });
    await one(create, () => runtime.create(pod("p0"), made));
    await one(start, () => runtime.event("StartContainer", pod("p0"), made));
    await runtime.event("RemoveContainer", pod("p0"), made);
  }
  for (const [name, kind] of [
    ["CreateContainer", create],
    ["StartContainer", start],
  ] as const) {
    figures.times(`${name}${when}`, kind.took, budgetMs);
    figures.times(UNQUEUED, kind.ran);
  }
}

function memory(figures: Figures, world: FakeWorld, when: string): void {
  for (const [name, daemon] of [
    ["driver", world.driver.daemon],
    ["agent", world.agent.daemon],
  ] as const) {
    const { rss, pss, anonymous } = memoryOf(daemon?.pid ?? 0);
    figures.note(
      `${`memory of the ${name}, ${when}`.padEnd(58)} RSS ${rss.toFixed(0)} MB   anonymous ${anonymous.toFixed(0)} MB   PSS ${pss.toFixed(0)} MB`,
    );
  }
}
