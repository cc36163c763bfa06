import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { expect } from "chai";
import { until } from "../kit/node/processes.ts";
import { inLab, NativeLab } from "./nativelab.ts";

/** A pod shares no pid namespace with the host: nobody in it sees processes of other containers, nor does cgroup v1 list them there. */
const AS_IN_A_POD = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=SIGTERM"];

const lab = new NativeLab("2.4", "file", {}, AS_IN_A_POD);
inLab("an agent that sees none of the host's processes", lab, () => {
  const { agent, runtime } = lab;

  it("keeps a released claim's CPU from everybody while its container lives", async () => {
    const pod = await runtime.pods.pod("claimed");
    const { uid, id } = await lab.claim("1", pod);
    const claimed = await lab.insist(pod, "x1", { cdi: [id] });
    const shared = await runtime.pods.run(await runtime.pods.pod("shared"), "s1");
    expect([claimed.allowed(), shared.allowed()]).to.deep.equal(["1", "0"]);
    await agent.release(uid);
    const { progress, containers } = await agent.await(uid, 3000);
    expect(progress).to.equal(Progress.LIVING);
    expect(containers.map(({ name }) => name)).to.deep.equal([claimed.name]);
    expect([claimed.allowed(), shared.allowed()]).to.deep.equal(["1", "0"]);
    await runtime.pods.remove(claimed);
    await until("it is drained", async () => (await agent.await(uid, 1000)).progress === Progress.DRAINED, 20_000);
    await until("others may use it", () => shared.allowed() === "0-1", 20_000);
  });
});
