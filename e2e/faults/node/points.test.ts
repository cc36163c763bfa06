import { expect } from "chai";
import { until } from "../../kit/node/processes.ts";
import type { Program } from "../lives.ts";
import { world } from "./suite.ts";

/** In the life of a pod: when the program is armed, and the call of its at which it is killed. */
interface Instant {
  readonly when: "Prepare" | "Unprepare";
  readonly who: Program;
  readonly call: { readonly name: string; readonly target: string };
  readonly at?: number;
  readonly after: boolean;
  readonly what: string;
}

const checkpoint = { name: "rename", target: "/driver/checkpoint.json" };
const cdiFile = { name: "rename", target: "/cdi/" };
const agentFile = { name: "rename", target: "/agent/agent.json" };
const answers = { name: "write", target: "served:" };
const hooks = { name: "write", target: "nri.sock" };

const INSTANTS: readonly Instant[] = [
  { when: "Prepare", who: "driver", call: checkpoint, after: false, what: "before the claim is in the checkpoint" },
  { when: "Prepare", who: "driver", call: checkpoint, after: true, what: "with the claim in the checkpoint alone" },
  { when: "Prepare", who: "driver", call: cdiFile, after: true, what: "with the CDI file, before the agent is told" },
  {
    when: "Prepare",
    who: "driver",
    call: { ...answers, target: "dra.sock" },
    at: 2,
    after: false,
    what: "before the kubelet is answered",
  },
  { when: "Prepare", who: "agent", call: agentFile, after: false, what: "before the claim is in the agent's file" },
  {
    when: "Prepare",
    who: "agent",
    call: { name: "write", target: "cpuset.cpus" },
    after: true,
    what: "after the first mask is moved",
  },
  { when: "Prepare", who: "agent", call: hooks, after: false, what: "before CreateContainer is answered" },
  { when: "Prepare", who: "agent", call: hooks, after: true, what: "after CreateContainer is answered" },
  {
    when: "Unprepare",
    who: "driver",
    call: { name: "unlink", target: "/cdi/" },
    after: true,
    what: "after the CDI file is removed",
  },
  { when: "Unprepare", who: "agent", call: agentFile, after: true, what: "after the release is in the agent's file" },
];

describe("kill -9 at ten instants, through the real kubelet", function () {
  this.timeout(240_000);

  before(async () => {
    await world.createPod({ name: "shared" });
    await world.running("shared");
  });
  after(() => world.remove("shared"));

  for (const [n, { when, who, call, at = 1, after, what }] of INSTANTS.entries()) {
    it(`${when}, ${who}: ${what}`, async () => {
      const name = `p${n}`;
      const seam = world.lives.seams[who];
      const deaths = world.lives.deaths[who];
      const dies = (): Promise<unknown> =>
        until(`the ${who} is killed`, () => world.lives.deaths[who] === deaths + 1, 60_000, 10);
      if (when === "Prepare") seam.arm({ at, after }, call);
      await world.createPod({ name, template: "one" });
      if (when === "Prepare") await dies();
      await world.running(name, 90_000);
      expect(await world.seen(name)).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
      await until("the other container is off", async () => (await world.seen("shared")).exec === "0", 5000);
      if (when === "Unprepare") seam.arm({ at, after }, call);
      await world.node.kubectl("delete", "pod", name, "--wait=false");
      if (when === "Unprepare") await dies();
      await until(
        "the pod is gone",
        async () => !(await world.node.kubectl("get", "pods", "-o", "name")).includes(name),
        60_000,
      );
      await until("the CPU is everybody's again", async () => (await world.seen("shared")).exec === "0-1", 30_000);
      await world.pair.ready();
    });
  }
});
