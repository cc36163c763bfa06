import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CODE } from "@dracpu/nri-agent/nri/ttrpc.ts";
import { CallFault } from "@dracpu/nri-agent/runtime/channel.ts";
import { expect } from "chai";
import { now } from "../faults/observer.ts";
import type { ContainerHandle } from "../kit/containerd/pods.ts";
import { until } from "../kit/node/processes.ts";
import { OtherPlugin } from "../kit/nri/plugin.ts";
import { Holding } from "./holding.ts";
import { COMBINATIONS, FULL, inLab, NativeLab } from "./nativelab.ts";
import { Watching } from "./watching.ts";

/** The runtime's stored masks follow the file lever when nothing has changed for so long. */
const FOLLOWS_AFTER_MS = 5000;

for (const [version, lever] of COMBINATIONS) {
  // The runtime gives plugins more time than by default, so that one may hold it for longer than the agent needs.
  const lab = new NativeLab(version, lever, { requestTimeout: "20s" });
  const { runtime, agent } = lab;
  inLab(`races on containerd ${version}, ${lever} lever`, lab, () => {
    /** CPUs that the runtime was given for a container when it made it. */
    const made = ({ id }: ContainerHandle): string => {
      const file = join(runtime.dir, "ctd/state/io.containerd.runtime.v2.task/k8s.io", id, "config.json");
      const spec = JSON.parse(readFileSync(file, "utf8")) as { linux: { resources: { cpu: { cpus: string } } } };
      return spec.linux.resources.cpu.cpus;
    };

    it("loses no update to a container that is being started", async () => {
      const rounds = FULL ? 200 : 12;
      const pod = await runtime.pods.pod("shared");
      const target = await runtime.pods.pod("claimed");
      const watching = await Watching.start(lab);
      const met = { before: 0, during: 0, after: 0 };
      for (let n = 0; n < rounds; n++) {
        const claiming = Promise.withResolvers<{ uid: string; id: string }>();
        const claim = async (): Promise<void> => claiming.resolve(await lab.claim("1", target));
        // Every second claim comes when the container is made and does not run yet; the others whenever that may be.
        const isBetween = n % 2 === 0;
        let isFirst = true;
        const starting = lab.insist(pod, `s${n}`, {}, async () => {
          if (isBetween && isFirst) await claim();
          isFirst = false;
        });
        if (!isBetween) {
          await sleep((n * 10) % 120);
          await claim();
        }
        const one = await claiming.promise;
        const x = await lab.insist(target, `x${n}`, { cdi: [one.id] });
        const s = await starting;
        expect(s.allowed(), `round ${n}: the shared container beside the claim's, which runs`).to.equal("0");
        expect(x.allowed(), `round ${n}`).to.equal("1");
        expect(await lab.firstWords(x), `round ${n}: x`).to.equal("1");
        const first = await lab.firstWords(s);
        const fell = made(s) === "0" ? "before" : first === "0" ? "during" : "after";
        met[fell] += 1;
        await runtime.pods.remove(x);
        await runtime.pods.remove(s);
        await lab.release(one.uid);
      }
      await watching.stop();
      console.log(
        `      claims told before the container was made: ${met.before}, between that and its first instruction: ${met.during}, later: ${met.after}; refused ${lab.refusals.length}`,
      );
      expect(watching.overlaps([target])).to.deep.equal([]);
      // What only the runtime could have moved before its first instruction is refused, and made anew.
      const fell = lever === "file" ? met.during : lab.refusals.length;
      expect(fell, "claims that fell into a start").to.be.at.least(rounds / 3);
      if (lever === "file") expect(lab.refusals).to.deep.equal([]);
    });

    it("keeps the pool shrunk when the claim's container could not be created", async () => {
      const adjusted: (string | undefined)[] = [];
      const other = new OtherPlugin(runtime.nriSocket, "90", ({ name, linux }) => {
        if (name !== "refused") return undefined;
        adjusted.push(linux?.resources?.cpu?.cpus);
        throw new CallFault(CODE.UNKNOWN, "somebody else does not like it");
      });
      await other.connect();
      try {
        const pod = await runtime.pods.pod("shared");
        const s1 = await runtime.pods.run(pod, "s1");
        const target = await runtime.pods.pod("claimed");
        const one = await lab.claim("1", target);
        const failure = await runtime.pods.create(target, "refused", { cdi: [one.id] }).then(
          () => "created",
          (cause: Error) => cause.message,
        );
        expect(failure).to.include("somebody else does not like it");
        expect(adjusted, "what the agent had answered").to.deep.equal(["1"]);
        const x = await lab.insist(target, "x", { cdi: [one.id] });
        expect(s1.allowed()).to.equal("0");
        expect(x.allowed()).to.equal("1");
        const again = await runtime.pods.create(target, "refused", { cdi: [one.id] }).catch(() => "refused");
        expect(again).to.equal("refused");
        expect(s1.allowed()).to.equal("0");
        // What was never made keeps nothing.
        await runtime.pods.remove(x);
        await lab.release(one.uid);
      } finally {
        other.close();
      }
    });

    // The file lever writes growths itself, and where the runtime takes no updates unasked it tells it nothing.
    if (version === "2.4" || lever === "runtime")
      it("lets a shrink win over a growth that is still on its way", async () => {
        const byReply = version === "2.1";
        const holding = new Holding(runtime.nriSocket);
        await holding.connect();
        const watching = await Watching.start(lab);
        try {
          const pod = await runtime.pods.pod("shared");
          const [before, target] = [await runtime.pods.pod("before"), await runtime.pods.pod("claimed")];
          const old = await lab.claim("1", before);
          const s1 = await runtime.pods.run(pod, "s1");
          expect(await lab.firstWords(s1)).to.equal("0");
          const s1IsSent = async (): Promise<boolean> => {
            const { containers } = await agent.state();
            return containers.some(({ ref, mask }) => ref?.name === "s1" && mask?.sent === "0-1");
          };

          const held = holding.hold("held-0");
          await lab.release(old.uid);
          // A growth in the reply to a creation is due by then.
          if (byReply) await sleep(3000);
          const slow = lab.insist(pod, "held");
          await held.reached;
          await until("the growth is sent", s1IsSent, 5000, 20);
          if (lever === "file") await sleep(FOLLOWS_AFTER_MS + 2000);
          expect(await lab.stored(s1), "the runtime is kept from it").to.equal("0");

          const told = now();
          let isEnforced = false;
          const claiming = lab.claim("1", target).finally(() => (isEnforced = true));
          await sleep(500);
          expect(isEnforced, "a claim has a CPU that a growth is on its way to").to.equal(false);
          held.letGo();
          const one = await claiming;
          // The file lever is as quick to shrink it again as a watcher is to look.
          if (lever === "file") expect(await lab.stored(s1), "the growth came late").to.equal("0-1");
          const x = await lab.insist(target, "x", { cdi: [one.id] });
          const runs = now();
          expect(s1.allowed()).to.equal("0");
          const other = await slow;
          await sleep(3000);
          expect([x.allowed(), s1.allowed(), other.allowed()]).to.deep.equal(["1", "0", "0"]);
          await watching.stop();
          expect(watching.overlaps([target])).to.deep.equal([]);
          const masks = watching.masks(s1, told, runs);
          console.log(`      from the claim to its container the other was seen on ${masks.join(", then ")}`);
          if (lever === "runtime")
            // That the growth was held and came late is shown above, by what the runtime stored and by the claim that waited; a watcher may miss its moment.
            expect(masks.at(-1), "where it ends").to.equal("0");
        } finally {
          holding.close();
          await watching.stop();
        }
      });
  });
}
