import { availableParallelism } from "node:os";
import { expect } from "chai";
import { allowedOf, isThere } from "../node/kernel.ts";
import { world } from "./suite.ts";

const IS_FULL = process.env["DRACPU_FULL"] === "1";
/** The chart's own probes end a program that does not answer for two minutes. */
const [AWAY_S, PROBE] = IS_FULL
  ? [600, undefined]
  : [30, { periodSeconds: 2, timeoutSeconds: 3, failureThreshold: 4, terminationGracePeriodSeconds: 1 }];
/** In which the kubelet looks at every pod again, whatever happened. */
const SYNC_MS = 11_000;

describe(`the installed pod, while API server and runtime are away for ${AWAY_S} s and every CPU is busy`, function () {
  this.timeout((AWAY_S + 240) * 1000);
  const { node } = world;
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  before(async () => {
    await world.twoPods();
    const probes = ["driver", "agent"].flatMap((name) => [
      "--set-json",
      `${name}.livenessProbe=${JSON.stringify(PROBE)}`,
    ]);
    if (PROBE !== undefined) await world.helm.upgrade("--reuse-values", ...probes);
    await world.ready();
  });

  it("is not restarted, neither container, and is ready again after it", async () => {
    const both = async () => ({ driver: await world.own("driver"), agent: await world.own("nri-agent") });
    const before = await both();
    const claimed = (await world.place("claimed")).pid;
    const shared = (await world.place("shared")).pid;
    const daemons = [node.daemon("kube-apiserver"), node.daemon("containerd")];
    const busy = Array.from({ length: availableParallelism() }, (_, n) =>
      node.host(`busy-${n}`, ["sh", "-c", "while :; do :; done"]),
    );
    try {
      // First they answer nobody, then they are gone.
      for (const one of daemons) one.signal("SIGSTOP");
      await pause(AWAY_S * 500);
      for (const one of daemons) one.signal("SIGKILL");
      await pause(AWAY_S * 500);
      expect([before.driver, before.agent].map(({ pid }) => isThere(pid))).to.deep.equal([true, true]);
      expect([allowedOf(claimed), allowedOf(shared)], "masks meanwhile").to.deep.equal(["1", "0"]);
      node.startApiServer();
      node.startContainerd();
      await Promise.all([node.apiReady(), node.containerdReady()]);
      const back = Date.now();
      await world.createPod({ name: "after" });
      await world.running("after", 120_000);
      // What the kubelet would have ended meanwhile, it ends now.
      await pause(Math.max(0, back + SYNC_MS - Date.now()));
    } finally {
      for (const one of busy) await one.stop();
    }
    await world.ready();
    expect(await both()).to.deep.equal(before);
    expect((await world.seen("after")).exec).to.equal("0");
    expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    await world.remove("after");
  });
});
