import { expect } from "chai";
import { containerProcesses } from "./kernel.ts";
import { world } from "./suite.ts";

const OWN = { exec: "1", first: "1", cgroup: "1" };

/** A variable of another pod's claim: that claim's CPUs, and a list that is none. */
const KINDS = [
  ["forged", "1", "no CDI device of that claim"],
  ["malformed", "1-", "neither a number nor a range"],
] as const;

describe("a real node, and a pod that writes a claim's variable itself", function () {
  this.timeout(120_000);

  for (const [kind, value, why] of KINDS) {
    it(`refuses a ${kind} variable of a claim that exists: the Event says so, and the CPUs stay its owner's`, async () => {
      await world.createPod({ name: "owner", template: "one" });
      await world.running("owner");
      const owner = await world.place("owner");
      const variable = `DRA_CPUSET_${await world.claimUid()}`;
      await world.createPod({ name: "forger", containers: [{ env: [{ name: variable, value }] }] });
      const intruders = new Set<string>();
      const text = await world.nothingRuns("forger", async () => {
        const said = await world.event("forger", variable);
        // The kubelet tries again meanwhile.
        for (const end = Date.now() + 2000; Date.now() < end;) {
          for (const one of containerProcesses())
            if (one.podUid !== owner.podUid && one.allowed.endsWith("1"))
              intruders.add(`${one.command} on ${one.allowed}`);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return said;
      });
      expect(text).to.include("default/forger").and.include(why);
      expect([...intruders]).to.deep.equal([]);
      expect(await world.seen("owner")).to.deep.equal(OWN);
    });
  }

  it("confines and reports forged and malformed variables that it finds running", async () => {
    const { pair } = world;
    await world.createPod({ name: "owner", template: "one" });
    await world.running("owner");
    const variable = `DRA_CPUSET_${await world.claimUid()}`;
    await pair.agent?.stop();
    for (const [name, value] of KINDS)
      await world.createPod({ name, containers: [{ env: [{ name: variable, value }] }] });
    for (const [name] of KINDS) {
      await world.running(name);
      // With nobody there to refuse them they do get the CPUs: what follows takes them away.
      expect(await world.seen(name)).to.deep.include({ exec: "0-1", first: "0-1" });
    }
    pair.startAgent();
    await pair.ready();
    const { containers } = await pair.state<{ containers: { ref: { podName: string }; problem?: string }[] }>();
    for (const [name, , why] of KINDS) {
      expect(await world.seen(name)).to.deep.include({ exec: "0", cgroup: "0" });
      const problem = containers.find((one) => one.ref.podName === name)?.problem;
      expect(problem).to.include("Confined to the shared pool").and.include(variable).and.include(why);
    }
    expect(await world.seen("owner")).to.deep.equal(OWN);
  });

  it("gives nothing for annotations, shares, names or CDI ids of another pod's claim", async () => {
    await world.createPod({ name: "owner", template: "one" });
    await world.running("owner");
    const uid = await world.claimUid();
    const device = `dra.k8s.io/cpu=claim-${uid}-cpus`;
    await world.createPod({
      name: "thief",
      annotations: {
        "cdi.k8s.io/cpus": device,
        "dra.cpu/claims": uid,
        "dra.cpu/allocation": JSON.stringify({ claim: { uid }, shares: [{ request: "cpus", cpus: "1" }] }),
        "cpuset.cpus": "1",
      },
      containers: [
        {
          name: "c0",
          env: [
            { name: `DRA_CPUSHARE_${uid}_cpus`, value: "1" },
            { name: "DRA_CPUS", value: "1" },
          ],
        },
      ],
    });
    await world.running("thief");
    expect(await world.seen("thief")).to.deep.equal({ exec: "0", first: "0", cgroup: "0" });
    expect(await world.seen("owner")).to.deep.equal(OWN);
    const files = await world.exec("thief", "c0", "cat", "/proc/self/mountinfo");
    expect(files, "nor the owner's files").not.to.include("dra-device-attributes");
  });
});
