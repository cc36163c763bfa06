import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { expect } from "chai";
import { until } from "../kit/node/processes.ts";
import { allowedOf, pidsIn } from "../node/kernel.ts";
import { inLab, NativeLab } from "./nativelab.ts";

/** Four processes, of which the shell is the first. */
const SLEEPERS = ["/bin/sh", "-c", "sleep 3600 & sleep 3600 & sleep 3600 & wait"];
/** Below the container's cgroup, each with the CPUs that it is given and whether a process lives in it. */
const BELOW = [
  ["/wide", "0-1", true],
  ["/wide/deep", "0-1", true],
  ["/other", "1", true],
  ["/unset", "", false],
] as const;

// A cgroup of version 1 cannot become narrower than one below it, nor one below wider than it.
const lab = new NativeLab("2.4", "file");
inLab("a container with cgroups of its own", lab, () => {
  const { runtime, agent } = lab;
  const escapes = async (): Promise<number> => Number((await agent.state()).counters?.escapes);

  it("is moved with all of them: shrunk from the deepest up, grown from the top down, put right when somebody widens them", async () => {
    const pod = await runtime.pods.pod("shared");
    const s1 = await runtime.pods.run(pod, "s1", { command: SLEEPERS });
    const top = `${runtime.cpusets.slice(0, -runtime.root.length)}${s1.cgroup}`;
    const set = (path: string, cpus: string): void => writeFileSync(`${top}${path}/cpuset.cpus`, `${cpus}\n`);
    const children = await until("its processes are there", () => {
      const pids = pidsIn(top).filter((pid) => pid !== s1.pid);
      return pids.length === 3 && pids;
    });
    const pids = new Map([["", s1.pid]]);
    for (const [path, cpus, isPopulated] of BELOW) {
      mkdirSync(top + path);
      if (cpus === "") continue;
      set(path, cpus);
      writeFileSync(`${top}${path}/cpuset.mems`, "0");
      const pid = isPopulated ? children.pop() : undefined;
      if (pid === undefined) continue;
      writeFileSync(`${top}${path}/cgroup.procs`, String(pid));
      pids.set(path, pid);
    }
    /** What each cgroup says, and where the process in it may run. */
    const masks = (): Record<string, string> =>
      Object.fromEntries(
        ["", ...BELOW.map(([path]) => path)].map((path) => {
          const pid = pids.get(path);
          const own = readFileSync(`${top}${path}/cpuset.cpus`, "utf8").trim();
          return [path, pid === undefined ? own : `${own} ${allowedOf(pid)}`];
        }),
      );
    const all = (cpus: string): Record<string, string> => {
      const both = `${cpus} ${cpus}`;
      return { "": both, "/wide": both, "/wide/deep": both, "/other": both, "/unset": "" };
    };
    /** All of them, which are written one after the other. */
    const become = async (cpus: string, ms: number): Promise<void> => {
      let seen = masks();
      const is = (): boolean => isDeepStrictEqual((seen = masks()), all(cpus));
      await until(`all are on ${cpus}`, is, ms).catch(() => expect(seen).to.deep.equal(all(cpus)));
    };
    expect(masks()).to.deep.equal({ ...all("0-1"), "/other": "1 1" });
    expect(() => set("", "0"), "the kernel itself, top first").to.throw("EBUSY");

    const target = await runtime.pods.pod("claimed");
    const one = await lab.claim("1", target);
    // The one that would have no CPU left has the whole new mask.
    expect(masks()).to.deep.equal(all("0"));
    const x = await lab.insist(target, "x", { cdi: [one.id] });
    expect(x.allowed()).to.equal("1");

    const before = await escapes();
    for (const path of ["", "/wide", "/wide/deep"]) set(path, "0-1");
    await become("0", 20_000);
    // Whether it looks between two of the writes is its own affair.
    expect(await escapes()).to.be.at.least(before + 1);

    await runtime.pods.remove(x);
    await lab.release(one.uid);
    // Somebody's update comes before the growth: the runtime writes the container's own mask alone.
    await runtime.pods.cri.call("updateContainerResources", { containerId: s1.id, linux: { cpuShares: 512n } });
    await become("0-1", 10_000);
    expect((await agent.state()).containers.filter(({ problem }) => problem !== "")).to.deep.equal([]);
  });
});
