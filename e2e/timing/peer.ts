import { muxFrames, PLUGIN_CONN, RUNTIME_CONN } from "@dracpu/nri-agent/nri/mux.ts";
import { DATA, MAX_DATA, RESPONSE, ttrpcHeader } from "@dracpu/nri-agent/nri/ttrpc.ts";
import { container, pod } from "../kit/enforcer.ts";
import { FakeRuntime } from "../kit/fakeruntime/runtime.ts";
import { queuedMs } from "../kit/queued.ts";

export interface Hook {
  /** Milliseconds from the call's bytes to the answer's. */
  readonly ms: number;
  /** Of these, how many the main thread of either side could have run and had no CPU: what other programs cost. */
  readonly queuedMs: number;
}

/** What the runtime's side saw of a round. */
export interface Round {
  readonly hooks: readonly Hook[];
  /** Messages of no call that were sent between the hooks. */
  readonly garbage: number;
  /** Of the agent, ever. */
  readonly connections: number;
}

const noise = Uint8Array.from({ length: 300 }, (_, n) => (n * 2_654_435_761) >>> 13);
export interface Asked {
  readonly containers: number;
  /** Its process. */
  readonly agent: number;
}

/** None of them ends a session: an answer to nothing, data without a stream, a type of nobody, a connection of nobody, frames of no length. */
const GARBAGE: readonly Uint8Array[] = [
  muxFrames(RUNTIME_CONN, ttrpcHeader(999, RESPONSE, noise.length), noise),
  muxFrames(PLUGIN_CONN, ttrpcHeader(1_000_001, DATA, noise.length), noise),
  muxFrames(PLUGIN_CONN, ttrpcHeader(1_000_003, 200, noise.length), noise),
  muxFrames(99, ttrpcHeader(5, 1, noise.length), noise),
  Buffer.concat(Array.from({ length: 20 }, () => Buffer.from([0, 0, 0, PLUGIN_CONN, 0, 0, 0, 0]))),
];

/** The runtime's side, a process of its own: nothing but the agent is to be seen in its times. Each message that it gets asks for a round. */
async function serve(path: string): Promise<void> {
  const runtime = new FakeRuntime(path);
  await runtime.listen();
  const plugin = runtime.plugin();
  process.on("message", ({ containers, agent }: Asked) => {
    void round(runtime, containers, agent).then((seen) => process.send?.(seen));
  });
  process.send?.("listening");
  await plugin;
  await runtime.synchronize([], []);
}

let made = 0;

async function round(runtime: FakeRuntime, containers: number, agent: number): Promise<Round> {
  const hooks: Hook[] = [];
  const env = Array.from({ length: 30 }, (_, k) => `V${k}=${"x".repeat(50)}`);
  let garbage = 0;
  const both = (): number => queuedMs(agent) + queuedMs(process.pid);
  const timed = async (call: () => Promise<unknown>): Promise<void> => {
    const before = both();
    await call();
    hooks.push({ ms: runtime.tookMs, queuedMs: both() - before });
  };
  for (let n = 0; n < containers; n++) {
    const one = container("q", `h${(made += 1)}`, { env });
    await timed(() => runtime.create(pod("q"), one));
    runtime.raw(GARBAGE[n % GARBAGE.length] ?? noise);
    await timed(() => runtime.event("PostCreateContainer", pod("q"), one));
    await timed(() => runtime.stop(pod("q"), one));
    await timed(() => runtime.event("RemoveContainer", pod("q"), one));
    garbage += 1;
    if (n % 30 === 0) garbage += await unusable(runtime);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  return { hooks, garbage, connections: runtime.connections };
}

/** Calls of no use, which get their refusals: a method of nobody, a message that is cut, and one that is too long. */
async function unusable(runtime: FakeRuntime): Promise<number> {
  const calls = [
    runtime.ask("Tomorrow", new Uint8Array()),
    runtime.ask("StartContainer", Uint8Array.of(0x0a, 5, 1)),
    runtime.ask("CreateContainer", new Uint8Array(MAX_DATA + 1)),
  ];
  const answers = await Promise.allSettled(calls);
  return answers.filter((one) => one.status === "rejected").length;
}

await serve(process.argv[2] ?? "");
