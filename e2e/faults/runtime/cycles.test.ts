import { expect } from "chai";
import { until } from "../../kit/node/processes.ts";
import { Curve } from "../curve.ts";
import { judge } from "../judge.ts";
import { explain } from "../report.ts";
import { onContainerd } from "./suite.ts";
import type { FaultWorld } from "./world.ts";

/** Of `--pods`. */
const PODS = Number(process.env["DRACPU_PODS"] ?? 300);
/** At one time; one of them at most has a claim. */
const WORKERS = 3;

describe(`${PODS} real pods, on real containerd`, function () {
  this.timeout(PODS * 2000 + 120_000);
  let world: FaultWorld;
  onContainerd((up) => {
    world = up;
  });

  it("come and go: memory and open files of both programs stay", async () => {
    const curves = (["driver", "agent"] as const).map(
      (which) => new Curve(which.padEnd(6), world.lives.daemon(which).pid),
    );
    const { pods } = world.runtime;
    let begun = 0;
    let ended = 0;
    const began = performance.now();
    const worker = async (isClaimed: boolean): Promise<void> => {
      while (begun < PODS) {
        const n = (begun += 1);
        const pod = await pods.pod(`p${n}`);
        const claim = isClaimed ? world.claim(pod.uid) : undefined;
        const ids = claim === undefined ? [] : await world.prepare(claim);
        // A start is refused while a mask of its own is on its way; the kubelet tries again.
        const container = await until(
          `pod ${n} runs`,
          () => pods.run(pod, `c-${performance.now()}`, { cdi: ids }),
          20_000,
          50,
        );
        if (isClaimed)
          expect(await until("its first instruction wrote", () => container.first() || undefined, 5000, 5)).to.equal(
            "1",
          );
        await pods.remove(container);
        if (claim !== undefined) await world.unprepare(claim);
        await pods.removePod(pod);
        ended += 1;
        if (ended % Math.ceil(PODS / 18) === 0) for (const curve of curves) curve.take(ended);
      }
    };
    await Promise.all(Array.from({ length: WORKERS }, (_, n) => worker(n === 0)));
    console.log(`      ${((performance.now() - began) / PODS).toFixed(0)} ms a pod`);
    for (const curve of curves) curve.print();
    expect(curves.flatMap((curve) => curve.growth())).to.deep.equal([]);
    expect(world.lives.deaths).to.deep.equal({ driver: 0, agent: 0 });
    const recording = await world.observer.stop();
    expect(explain(recording, judge(recording, world.facts))).to.deep.equal([]);
  });
});
