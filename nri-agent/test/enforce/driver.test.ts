import { expect } from "chai";
import { create } from "@bufbuild/protobuf";
import { digestOf } from "@dracpu/shared-proto/contract/digest.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { allocationFromWire } from "@dracpu/shared-proto/contract/wire.ts";
import { AllocationSchema, AllocationState } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { ContractFault } from "../../src/enforce/contract.ts";
import { allocation, type PlayedClaim } from "../../../e2e/kit/playeddriver.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";
import { broken } from "../../../e2e/kit/playedpromises.ts";

const fault = (work: Promise<unknown>): Promise<ContractFault> =>
  work.then(
    () => {
      throw new Error("it was accepted");
    },
    (cause: unknown) => {
      if (!(cause instanceof ContractFault)) throw cause;
      return cause;
    },
  );

const record = (claim: PlayedClaim): AllocationRecord =>
  allocationFromWire(create(AllocationSchema, allocation(claim)));

for (const lever of ["kernel", "file"] as const) {
  describe(`what drivers say, with the ${lever} lever`, () => {
    let node: PlayedNode;
    let claim: PlayedClaim;
    /** The driver means the same claim, on other CPUs. */
    const moved = (cpus: string): PlayedClaim => {
      const other = { ...claim, shares: { cpus } };
      node.claims.set(claim.uid, other);
      return other;
    };
    const allowed = (id: string): string => {
      const one = node.runtime.containers.get(id);
      return one === undefined ? "gone" : node.kernel.effective(one.cgroup).toString();
    };
    beforeEach(async () => {
      node = await PlayedNode.up({ lever });
      await node.run("s", "s1");
      claim = await node.claim({ cpus: "4-5" }, ["p"]);
    });

    it("says with the answer to a change which CPUs are their claims' own already, and of no other", async () => {
      const other: PlayedClaim = { ...claim, uid: "88888888-0000-4000-8000-000000000000", shares: { cpus: "8" } };
      node.claims.set(other.uid, other);
      const { enforced } = await node.apply({ upserts: [other] });
      // The mask lever has to move s1 off it first.
      expect(enforced).to.deep.equal(lever === "kernel" ? [other.uid] : []);
      expect((await node.progress(other)).progress).to.equal(Progress.ENFORCED);
      expect((await node.apply({ upserts: [other] })).enforced).to.deep.equal([other.uid]);
    });

    it("a claim whose container runs is not moved, the others are accepted, and who waits for it hears why", async () => {
      const x = await node.run("p", "x", claim);
      moved("8-9");
      const other = { ...claim, uid: "99999999-0000-4000-8000-000000000000", shares: { cpus: "12" }, pods: ["q"] };
      node.claims.set(other.uid, other);
      const { kept } = await node.replace();
      expect(kept.map((one) => [one.claim?.uid, one.shares[0]?.cpus])).to.deep.equal([[claim.uid, "4-5"]]);
      expect((await node.progress(other)).progress).to.equal(Progress.ENFORCED);
      const progress = await node.progress(claim);
      expect(progress.progress).to.equal(Progress.IMPOSSIBLE);
      expect(progress.why).to.include("container x of pod default/p").and.include("cpus=4-5").and.include("cpus=8-9");
      await node.run("q", "y", other);
      expect([allowed("x"), allowed("y")]).to.deep.equal(["4-5", "12"]);
      await node.clock.pass(15_000);
      expect(allowed("x")).to.equal("4-5");
      // A second container of the claim runs where the first does.
      await node.run("p", "x2", claim);
      expect(allowed("x2")).to.equal("4-5");
      await node.end(x);
      expect((await node.progress(claim)).progress).to.equal(Progress.IMPOSSIBLE);
      const x2 = node.runtime.containers.get("x2");
      if (x2 !== undefined) await node.end(x2);
      await node.clock.pass(3000);
      expect((await node.progress(claim)).progress).to.equal(Progress.ENFORCED);
      await node.run("p", "x3", claim);
      expect(allowed("x3")).to.equal("8-9");
    });

    it("goes on in sequence after it, and is content once the driver says what is", async () => {
      await node.run("p", "x", claim);
      moved("8-9");
      await node.replace();
      const other = { ...claim, uid: "99999999-0000-4000-8000-000000000000", shares: { cpus: "12" } };
      // The digest is over what the driver says, not over what is kept.
      const digest = digestOf([{ ...claim, shares: { cpus: "8-9" } }, other].map(record));
      expect((await node.apply({ upserts: [other], digest })).kept).to.have.length(1);
      const { kept } = await node.apply({ upserts: [claim], digest: digestOf([claim, other].map(record)) });
      expect(kept).to.deep.equal([]);
      expect((await node.progress(claim)).progress).to.equal(Progress.ENFORCED);
    });

    it("keeps it through its own death, and before the runtime has been listed", async () => {
      await node.run("p", "x", claim);
      moved("8-9");
      await node.replace();
      node.kill();
      node.enforcer = node.newLife();
      if (node.saved !== undefined) node.enforcer.restore(node.saved);
      node.enforcer.start();
      expect((await node.replace()).kept, "nothing is known to live yet").to.deep.equal([]);
      await node.connect();
      await node.clock.pass(2000);
      expect(allowed("x")).to.equal("4-5");
      expect((await node.progress(claim)).progress).to.equal(Progress.IMPOSSIBLE);
    });

    it("moves a claim of which nothing lives", async () => {
      await node.end(await node.run("p", "x", claim));
      moved("8-9");
      expect((await node.replace()).kept).to.deep.equal([]);
      await node.clock.pass(2000);
      expect((await node.progress(claim)).progress).to.equal(Progress.ENFORCED);
      await node.run("p", "x2", claim);
      expect(allowed("x2")).to.equal("8-9");
    });

    it("drains a claim that is named no more, also one that was kept, and gives its CPUs to nobody before", async () => {
      const x = await node.run("p", "x", claim);
      moved("8-9");
      await node.replace();
      await node.forget(claim);
      const next = await node.claim({ cpus: "5" }, ["q"]);
      expect((await node.progress(next)).progress).to.equal(Progress.PENDING);
      expect((await node.progress(claim)).progress).to.equal(Progress.LIVING);
      await node.end(x);
      await node.clock.pass(1500);
      expect((await node.progress(claim)).progress).to.equal(Progress.DRAINED);
      expect((await node.progress(next)).progress).to.equal(Progress.ENFORCED);
      expect(broken(node, "settled")).to.deep.equal([]);
    });

    it("a refusal names the claims without which the rest would be accepted", async () => {
      const late = { ...claim, uid: "77777777-0000-4000-8000-000000000000", shares: { cpus: "5-6" } };
      node.claims.set(late.uid, late);
      expect((await fault(node.replace())).claims).to.deep.equal([late.uid]);
      const bad = { ...late, shares: { cpus: "5-" } };
      node.claims.set(late.uid, bad);
      expect((await fault(node.replace())).claims).to.deep.equal([late.uid]);
      node.claims.delete(late.uid);
      expect((await fault(node.apply({ upserts: [bad] }))).claims).to.deep.equal([late.uid]);
      expect((await fault(node.apply({ upserts: [late] }))).claims).to.deep.equal([late.uid]);
      await node.replace();
      expect(node.state().allocations.map((one) => one.claim?.uid)).to.deep.equal([claim.uid]);
    });

    it("shows a claim as prepared once the kubelet has made a container of it, which the driver does not tell", async () => {
      const late = await node.claim({ cpus: "8-9" }, ["l"]);
      late.state = "preparing";
      await node.apply({ upserts: [late] });
      const shown = (): AllocationState | undefined =>
        node.state().allocations.find((one) => one.claim?.uid === late.uid)?.state;
      expect(shown()).to.equal(AllocationState.PREPARING);
      node.create("l", "y", late);
      expect(shown()).to.equal(AllocationState.PREPARED);
    });

    it("refuses what is out of sequence or of an older driver, and nothing changes", async () => {
      const before = node.state().held;
      expect((await fault(node.apply({ upserts: [], base: 7n }))).code).to.equal("revision-gap");
      expect((await fault(node.replace({ epoch: 0n }))).code).to.equal("bad-message");
      await node.replace();
      expect((await fault(node.replace({ epoch: 1n }))).code).to.equal("epoch-too-low");
      node.diskFull = true;
      expect((await fault(node.replace())).code).to.equal("disk");
      expect(node.state().held?.epoch).to.equal((before?.epoch ?? 0n) + 1n);
    });
  });
}
