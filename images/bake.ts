import { readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { FakeWorld } from "../e2e/bench/fakeworld.ts";
import { allocatedClaim } from "../e2e/kit/driver.ts";
import { container, pod } from "../e2e/kit/enforcer.ts";
import { until } from "../e2e/kit/node/processes.ts";
import { ENVIRONMENT } from "./environment.ts";

interface Bakeable {
  readonly file: string;
  readonly cache: string;
}

/**
 * Runs both bundles once through a claim, with fakes on the other side, so that Node writes what it compiled to each one's cache. It keeps that by path
 * relative to the cache (portable), by its own version and V8's flags, which are those of the images, and by user, which is root there.
 */
export async function bakeCompileCaches(programs: { driver: Bakeable; agent: Bakeable }): Promise<void> {
  const { driver, agent } = programs;
  const world = new FakeWorld({ driver: [process.execPath, driver.file], agent: [process.execPath, agent.file] });
  await world.listen();
  const start = (program: { start(): unknown }, { cache }: Bakeable): void => {
    const kept = { ...process.env };
    Object.assign(process.env, ENVIRONMENT, { NODE_COMPILE_CACHE: cache });
    program.start();
    for (const key of Object.keys(ENVIRONMENT)) delete process.env[key];
    Object.assign(process.env, kept);
  };
  try {
    const plugin = world.runtime.plugin();
    start(world.agent, agent);
    start(world.driver, driver);
    await world.kubelet.register();
    await plugin;
    await world.runtime.synchronize([], []);
    await world.agent.synchronized();
    await until("a slice is published", () => world.api.slices.size > 0);
    const { claim, ref } = allocatedClaim("one", 2);
    world.api.claims.set("default/one", claim);
    const { error } = await world.kubelet.prepare(ref);
    if (error !== "") throw new Error(error);
    const one = container("p", "c", {});
    await world.runtime.create(pod("p"), one);
    await world.kubelet.unprepare(ref);
  } finally {
    await world.end();
  }
  for (const { cache } of [driver, agent]) {
    const written = readdirSync(cache);
    const [name = ""] = written;
    if (written.length !== 1) throw new Error(`Cannot bake the compile cache: Node wrote ${JSON.stringify(written)}`);
    const asRoot = name.replace(/-\d+$/, "-0");
    if (asRoot !== name) renameSync(join(cache, name), join(cache, asRoot));
  }
}
