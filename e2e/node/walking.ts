import { join } from "node:path";
import { NODE_NAME } from "../kit/node/node.ts";
import { Sightings, type Checks } from "./sightings.ts";
import { until, type World } from "./world.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** Looks at a node where operators look, and notes who said what after how long. */
export class Walk {
  readonly #world: World;
  readonly #sightings = new Sightings("On a real node", 90_000, 200);

  constructor(world: World) {
    this.#world = world;
  }

  /** Nothing is wrong, and whatever was told of it is over. */
  async fine(): Promise<void> {
    const { node, pair } = this.#world;
    await pair.ready();
    const began = performance.now();
    let last = "";
    await until(
      "nobody says anything",
      async () => {
        const said = await Promise.all([8080, 8081].map((port) => pair.probe(port, "readyz")));
        if (said.every((one) => one === "ok\n")) return true;
        last = said.join().replaceAll("\n", " ");
        return false;
      },
      90_000,
      200,
    );
    const seconds = (performance.now() - began) / 1000;
    if (seconds > 10) console.log(`      said for ${seconds.toFixed(0)} s: ${last}`);
    await node.kubectl("delete", "events", "--all", "--all-namespaces");
  }

  /** Waits until everybody says the code; what they say while it lasts. @param words of `doctor`, where it says the code for other reasons too. */
  sees(problem: string, code: string, words = code): Promise<Checks> {
    const metric = new RegExp(`findings\\{.*${code}.*\\} [1-9]`);
    return this.#sightings.note(problem, code, {
      doctor: async () => (await this.#doctor()).includes(words),
      Event: () => this.#event(code),
      metric: async () => metric.test(await this.#both("metrics")),
      page: async () => (await this.#page("picture")).includes(code),
      probe: async () => (await this.#both("readyz")).includes(code),
    });
  }

  /** Of what is put right at once: what is left of it to be seen. `doctor` and probe say that all is well again. */
  saw(problem: string, code: string, metric: string): Promise<Checks> {
    const { pair } = this.#world;
    const counted = new RegExp(`^${metric} [1-9]`, "m");
    return this.#sightings.note(problem, code, {
      doctor: async () => !(await this.#doctor()).includes(code),
      Event: () => this.#event(code),
      metric: async () => counted.test(await this.#both("metrics")),
      page: async () => (await this.#page("entries")).includes(code),
      probe: async () => (await pair.probe(8081, "readyz")) === "ok\n",
    });
  }

  print(): void {
    this.#sightings.print();
  }

  /** Its exit status says that something is wrong, and its words are on standard output all the same. */
  #doctor(): Promise<string> {
    const { node, pair } = this.#world;
    const flags = [
      ...["--kubeconfig", node.kubeconfig, "--kubelet-root-dir", node.kubeletRootDir, "--cdi-dir", node.cdiDir],
      ...["--agent-socket", pair.controlSocket, "--inspect-socket", pair.inspectSocket, "--node-name", NODE_NAME],
      ...["--state-dir", join(node.dir, "state", "driver"), "--nri-socket", node.nriSocket],
    ];
    const line = [process.execPath, join(ROOT, "driver", "src", "main.ts"), "doctor", ...flags].join(" ");
    return node.run("sh", ["-c", `${line} || true`]);
  }

  async #event(code: string): Promise<boolean> {
    return (await this.#world.node.kubectl("get", "events", "-A", "-o", "jsonpath={.items[*].message}")).includes(code);
  }

  async #both(page: string): Promise<string> {
    const { pair } = this.#world;
    const texts = await Promise.all([8080, 8081].map((port) => pair.probe(port, page).catch(() => "")));
    return texts.join("\n");
  }

  #page(what: string): Promise<string> {
    return this.#world.pair.probe(8082, what);
  }
}
