import { expect } from "chai";
import { until } from "../kit/node/processes.ts";
import { FULL, inLab, NativeLab } from "./nativelab.ts";

// Nothing tells when the agent connects whether the runtime's CDI is on. containerd 2.2 and 2.3 refuse a container whose device they
// may not give; from 2.4 on CDI cannot be switched off.
const old = new NativeLab("2.1", "file", { cdiIsOff: true });
inLab("containerd 2.1 with CDI off", old, () => {
  it("makes a claim's container one of the shared pool, beside the claim's CPUs, and tells of it after a minute", async function () {
    const target = await old.runtime.pods.pod("claimed");
    const one = await old.claim("1", target);
    const x = await old.insist(target, "x", { cdi: [one.id] });
    expect([await old.firstWords(x), x.allowed()]).to.deep.equal(["0", "0"]);
    expect((await old.agent.state()).problemCodes).to.deep.equal(["DRACPU-510"]);
    if (!FULL) {
      console.log("      the minute is not waited for; with --full");
      return;
    }
    this.timeout(90_000);
    const problems = await until(
      "it is told",
      async () => {
        const state = await old.agent.state();
        return state.problemCodes.includes("DRACPU-215") && state.problems;
      },
      80_000,
    );
    expect(problems.join("; ")).to.match(/No container of pod \S+claimed has used claim .* CDI is off \(enable_cdi\)/);
  });
});

const recent = new NativeLab("2.4", "file", { cdiIsOff: true });
inLab("containerd 2.4 with CDI off", recent, () => {
  it("does not heed it: the claim's container is pinned", async () => {
    const target = await recent.runtime.pods.pod("claimed");
    const one = await recent.claim("1", target);
    const x = await recent.insist(target, "x", { cdi: [one.id] });
    expect([await recent.firstWords(x), x.allowed()]).to.deep.equal(["1", "1"]);
    expect((await recent.agent.state()).problemCodes).to.deep.equal([]);
  });
});
