import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { until } from "../kit/node/processes.ts";
import { pidsIn } from "../node/kernel.ts";
import { COMBINATIONS, inLab, NativeLab } from "./nativelab.ts";

// The machine's own cgroups decide: on v1 the levers are file and runtime. Kernel and v2 are shown in the guest.
for (const [version, lever] of COMBINATIONS) {
  const lab = new NativeLab(version, lever);
  const { runtime, agent } = lab;
  inLab(`containerd ${version}, ${lever} lever`, lab, () => {
    it("pins a claim's container from its first instruction, and keeps everybody else off", async () => {
      const pod = await runtime.pods.pod("shared");
      const s1 = await runtime.pods.run(pod, "s1");
      expect(await lab.firstWords(s1)).to.equal("0-1");
      const x1 = await lab.claimed("1");
      expect(await lab.firstWords(x1)).to.equal("1");
      expect(x1.allowed()).to.equal("1");
      expect(s1.allowed()).to.equal("0");
      const s2 = await runtime.pods.run(pod, "s2");
      expect(await lab.firstWords(s2)).to.equal("0");
      expect(readFileSync(`/sys/fs/cgroup/cpu${x1.cgroup}/cpu.cfs_quota_us`, "utf8").trim()).to.equal("-1");
    });

    it("says what the runtime is too old for", async () => {
      const { runtime: told, problemCodes, problems } = await agent.state();
      expect(told?.version).to.match(new RegExp(`^v?${version}\\.`));
      const codes = problemCodes.filter((code) => code === "DRACPU-510");
      expect(codes).to.deep.equal(version === "2.1" ? ["DRACPU-510"] : []);
      if (version === "2.1")
        expect(problems).to.include(`containerd ${told?.version ?? ""} shows no CDI devices by NRI`);
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
      const x1 = await lab.claimed("1");
      await until("the shared container is off", () => s1.allowed() === "0", 5000);
      await runtime.pods.cri.call("updateContainerResources", { containerId: s1.id, linux: { cpusetCpus: "0-1" } });
      await runtime.pods.cri.call("updateContainerResources", {
        containerId: x1.id,
        linux: { cpusetCpus: "0", cpuQuota: 20_000n, cpuPeriod: 100_000n },
      });
      await until("both have their masks", () => s1.allowed() === "0" && x1.allowed() === "1", 5000);
      expect(readFileSync(`/sys/fs/cgroup/cpu${x1.cgroup}/cpu.cfs_quota_us`, "utf8").trim()).to.equal("-1");
    });

    // The gate is in the claim's CDI edits; whichever lever, it is the runtime that meets it.
    if (lever === "file")
      it("leaves no claim's container a way to start while it is away, and lets it start once it is back", async () => {
        const pod = await runtime.pods.pod("claimed");
        const options = { cdi: [(await lab.claim("1", pod)).id] };
        agent.daemon?.signal("SIGKILL");
        await agent.daemon?.exited;
        const id = await runtime.pods.create(pod, "x-away", options);
        const why = await runtime.pods.start(pod, "x-away", id).then(
          () => "it started",
          (cause: unknown) => (cause as Error).message,
        );
        expect(why).to.include("container-not-pinned-because-the-nri-agent-was-away");
        await runtime.pods.remove({ id });
        agent.start();
        await agent.replace();
        await agent.synchronized();
        expect(await lab.firstWords(await lab.insist(pod, "x", options))).to.equal("1");
      });

    if (version === "2.4" && lever === "file")
      it("ends in words where it is told to use partitions and has cgroup v1", async () => {
        await agent.daemon?.stop();
        agent.start("kernel");
        await agent.daemon?.exited;
        expect(readFileSync(agent.daemon?.log ?? "", "utf8")).to.include(
          "Cannot use --lever kernel here: kernel lever: cgroup v1 has no cpuset partitions; use --lever auto",
        );
        agent.start();
        await agent.replace();
        await agent.synchronized();
      });

    it("waits for a termination grace when it connects, and says so", async () => {
      const pod = await runtime.pods.pod("stubborn");
      const s1 = await runtime.pods.run(pod, "s1", {
        command: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
      });
      await agent.daemon?.stop();
      const stopped = runtime.pods.cri.call("stopContainer", { containerId: s1.id, timeout: 60n });
      await new Promise((resolve) => setTimeout(resolve, 300));
      agent.start();
      await until("it is connected and waits", async () => (await agent.state()).nri?.state === 3, 10_000, 50);
      expect((await agent.state()).nri?.why).to.include("termination grace");
      process.kill(s1.pid, "SIGKILL");
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
      // Two on one runtime would make every creation fail.
      const pod = await runtime.pods.pod("shared");
      const x1 = await lab.claimed("1");
      const s1 = await runtime.pods.run(pod, "s1");
      expect([await lab.firstWords(x1), await lab.firstWords(s1)]).to.deep.equal(["1", "0"]);
      first?.signal("SIGKILL");
      await first?.exited;
      await until("the second one serves", () => readFileSync(second?.log ?? "", "utf8").includes('"serving"'), 10_000);
      await agent.replace();
      await agent.synchronized();
      expect([x1.allowed(), s1.allowed()]).to.deep.equal(["1", "0"]);
      await lab.clear();
      expect(await lab.firstWords(await lab.claimed("1"))).to.equal("1");
    });
  });
}
