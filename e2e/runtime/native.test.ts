import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { AgentProcess } from "../kit/agent/agent.ts";
import { Containerd } from "../kit/containerd/containerd.ts";
import type { ContainerHandle, ContainerOptions, PodHandle } from "../kit/containerd/pods.ts";
import { until } from "../kit/node/processes.ts";
import { pidsIn } from "../node/kernel.ts";

const MAIN = join(import.meta.dirname, "..", "..", "nri-agent", "src", "main.ts");
const FULL = process.env["DRACPU_FULL"] !== undefined;

// The machine's own cgroups decide: on v1 the levers are file and runtime. Kernel and v2 are shown in the guest.
for (const [version, lever] of [
  ["2.4", "file"],
  ["2.4", "runtime"],
  ["2.1", "file"],
  ["2.1", "runtime"],
] as const) {
  describe(`containerd ${version}, ${lever} lever`, function () {
    this.timeout(120_000);
    const runtime = new Containerd(version);
    const agent = new AgentProcess({
      dir: runtime.dir,
      argv: [process.execPath, MAIN],
      nriSocket: runtime.nriSocket,
      cdiDir: runtime.cdiDir,
      lever,
      online: CpuSet.parse("0-1"),
      more: ["--host-proc", "/proc"],
    });
    const claims = new Set<string>();
    before(async () => {
      await runtime.start();
      agent.start();
      await agent.replace();
      await agent.synchronized();
    });
    after(async () => {
      await agent.daemon?.stop();
      await runtime.stop();
    });
    afterEach(async function () {
      if (this.currentTest?.state === "failed")
        console.log(
          readFileSync(agent.daemon?.log ?? "", "utf8")
            .split("\n")
            .slice(-15)
            .join("\n"),
        );
      await runtime.pods.removeAll();
      for (const uid of claims) await release(uid);
    });

    const claim = async (cpus: string, pod: PodHandle): Promise<{ uid: string; id: string }> => {
      const made = await agent.claim({ cpus }, [pod]);
      claims.add(made.uid);
      return { uid: made.uid, id: made.ids["cpus"] ?? "" };
    };
    const release = async (uid: string): Promise<void> => {
      claims.delete(uid);
      await agent.release(uid);
      await until("the claim is drained", async () => (await agent.await(uid, 1000)).progress === 3, 20_000);
    };
    /** As a kubelet does: a start that the agent refused is tried again with a new container. */
    const insist = async (pod: PodHandle, name: string, options: ContainerOptions = {}): Promise<ContainerHandle> => {
      for (let attempt = 0; ; attempt++) {
        const id = await runtime.pods.create(pod, `${name}-${attempt}`, options);
        try {
          return await runtime.pods.start(pod, `${name}-${attempt}`, id);
        } catch (cause) {
          if (attempt > 10 || !(cause as Error).message.includes("dra.cpu: cannot start")) throw cause;
          await runtime.pods.remove({ id });
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    };

    const firstWords = (one: ContainerHandle): Promise<string> =>
      until("its first words are there", () => one.first() || undefined, 10_000, 10);

    const claimed = async (cpus: string): Promise<ContainerHandle> => {
      const pod = await runtime.pods.pod("claimed");
      return insist(pod, "x1", { cdi: [(await claim(cpus, pod)).id], quota: 50_000n });
    };

    it("pins a claim's container from its first instruction, and keeps everybody else off", async () => {
      const pod = await runtime.pods.pod("shared");
      const s1 = await runtime.pods.run(pod, "s1");
      expect(await firstWords(s1)).to.equal("0-1");
      const x1 = await claimed("1");
      expect(await firstWords(x1)).to.equal("1");
      expect(x1.allowed()).to.equal("1");
      await until("the shared container is off", () => s1.allowed() === "0", 5000);
      const s2 = await runtime.pods.run(pod, "s2");
      expect(await firstWords(s2)).to.equal("0");
      expect(readFileSync(`/sys/fs/cgroup/cpu${x1.cgroup}/cpu.cfs_quota_us`, "utf8").trim()).to.equal("-1");
    });

    it("loses no update to a container that is being started", async () => {
      const rounds = FULL ? 200 : 12;
      const pod = await runtime.pods.pod("shared");
      const target = await runtime.pods.pod("claimed");
      for (let n = 0; n < rounds; n++) {
        const starting = insist(pod, `s${n}`);
        await new Promise((resolve) => setTimeout(resolve, (n * 10) % 120));
        const one = await claim("1", target);
        const x = await insist(target, `x${n}`, { cdi: [one.id] });
        const s = await starting;
        await until(`round ${n}: the shared container is off the claim's CPU`, () => s.allowed() === "0", 5000, 20);
        expect(x.allowed(), `round ${n}`).to.equal("1");
        await runtime.pods.remove(x);
        await runtime.pods.remove(s);
        await release(one.uid);
      }
    });

    it("keeps the pool shrunk when the claim's container could not be created", async () => {
      const pod = await runtime.pods.pod("shared");
      const s1 = await runtime.pods.run(pod, "s1");
      const target = await runtime.pods.pod("claimed");
      const one = await claim("1", target);
      const failure = await runtime.pods.create(target, "x", { cdi: [one.id, "dra.k8s.io/cpu=nobody"] }).then(
        () => "created",
        (cause: Error) => cause.message,
      );
      expect(failure).to.include("unresolvable CDI devices");
      const x = await insist(target, "x2", { cdi: [one.id] });
      await until("the shared container is off", () => s1.allowed() === "0", 5000);
      expect(x.allowed()).to.equal("1");
    });

    // It is the same code with every lever, and takes two looks.
    if (version === "2.4" && lever === "file")
      it("tells of a container whose threads stay on fewer CPUs than it may use, until they do no more", async () => {
        const pod = await runtime.pods.pod("shared");
        const behind = await runtime.pods.run(pod, "behind");
        await runtime.pods.run(pod, "plain");
        const pin = (cpus: string): void => {
          for (const pid of pidsIn(`/sys/fs/cgroup/cpuset${behind.cgroup}`))
            execFileSync("taskset", ["-acp", cpus, String(pid)]);
        };
        pin("1");
        const told = async (): Promise<string[]> =>
          (await agent.state()).problems.filter((text) => text.startsWith("All threads of"));
        await until("it is told", async () => (await told()).length > 0, 30_000);
        expect(await told()).to.deep.equal([
          "All threads of container behind of pod default/shared stay on CPUs 1, though it may use 0-1: its runtime or itself has set their affinity",
        ]);
        pin("0-1");
        await until("it is told no more", async () => (await told()).length === 0, 15_000);
      });

    it("keeps a claim's CPUs through CRI updates of its own and of shared containers", async () => {
      const pod = await runtime.pods.pod("shared");
      const s1 = await runtime.pods.run(pod, "s1");
      const x1 = await claimed("1");
      await until("the shared container is off", () => s1.allowed() === "0", 5000);
      await runtime.pods.cri.call("updateContainerResources", { containerId: s1.id, linux: { cpusetCpus: "0-1" } });
      await runtime.pods.cri.call("updateContainerResources", {
        containerId: x1.id,
        linux: { cpusetCpus: "0", cpuQuota: 20_000n, cpuPeriod: 100_000n },
      });
      await until("both have their masks", () => s1.allowed() === "0" && x1.allowed() === "1", 5000);
      expect(readFileSync(`/sys/fs/cgroup/cpu${x1.cgroup}/cpu.cfs_quota_us`, "utf8").trim()).to.equal("-1");
    });

    it("lets a shrink win over a growth that is still on its way", async () => {
      const pod = await runtime.pods.pod("shared");
      const s1 = await runtime.pods.run(pod, "s1");
      for (let n = 0; n < 3; n++) {
        const target = await runtime.pods.pod(`claimed${n}`);
        const one = await claim("1", target);
        const x = await insist(target, "x", { cdi: [one.id] });
        expect(x.allowed()).to.equal("1");
        await until("the shared container is off", () => s1.allowed() === "0", 5000);
        await runtime.pods.remove(x);
        await release(one.uid);
        // A growth is due about now; the next claim shrinks it again.
        await new Promise((resolve) => setTimeout(resolve, 900 + 100 * n));
      }
      // Without unsolicited updates a growth rides on the next hook's reply.
      if (version === "2.1" && lever === "runtime") {
        await new Promise((resolve) => setTimeout(resolve, 1200));
        await runtime.pods.run(pod, "s2");
      }
      await until("the pool is whole again", () => s1.allowed() === "0-1", 10_000);
    });

    it("waits for a termination grace when it connects, and says so", async () => {
      const pod = await runtime.pods.pod("stubborn");
      const s1 = await runtime.pods.run(pod, "s1", {
        command: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
      });
      await agent.daemon?.stop();
      const stopped = runtime.pods.cri.call("stopContainer", { containerId: s1.id, timeout: 5n });
      await new Promise((resolve) => setTimeout(resolve, 300));
      agent.start();
      await until("it is connected and waits", async () => (await agent.state()).nri?.state === 3, 10_000, 50);
      expect((await agent.state()).nri?.why).to.include("termination grace");
      await stopped;
      await agent.synchronized();
      await agent.replace();
    });

    it("lets a second instance wait, and take over", async () => {
      const first = agent.daemon;
      agent.start();
      const second = agent.daemon;
      await until(
        "the second one waits",
        () => readFileSync(second?.log ?? "", "utf8").includes("another agent holds the state directory"),
        10_000,
      );
      expect(readFileSync(second?.log ?? "", "utf8")).to.include(`pid ${first?.pid ?? 0}`);
      first?.signal("SIGKILL");
      await first?.exited;
      await until("the second one serves", () => readFileSync(second?.log ?? "", "utf8").includes('"serving"'), 10_000);
      await agent.replace();
      await agent.synchronized();
      const x1 = await claimed("1");
      expect(x1.allowed()).to.equal("1");
    });
  });
}
