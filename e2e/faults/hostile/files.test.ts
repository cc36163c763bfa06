import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cdiFileName, cdiSpec } from "@dracpu/driver/cdi/spec.ts";
import { CdiDirectory } from "@dracpu/driver/disk/cdidirectory.ts";
import { CheckpointFile } from "@dracpu/driver/disk/checkpointfile.ts";
import { Ledger, toAllocation, type Entry } from "@dracpu/driver/ledger/ledger.ts";
import { AgentFile } from "@dracpu/nri-agent/disk/agentfile.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { corpus, mutated, runs } from "./mutate.ts";

const UID = "00000000-0000-4000-8000-00000000000a";
const ENTRY: Entry = {
  claim: { uid: UID, namespace: "default", name: "claim" },
  phase: "prepared",
  consumers: [{ resource: "pods", uid: "p", name: "p" }],
  shares: [{ request: "cpus", pool: "n", device: "d", cpus: CpuSet.parse("2-3") }],
  idle: CpuSet.empty,
  isolated: false,
  results: [],
  operationId: "o",
};
const BOOT = { bootId: "b", epoch: 3n };
const machine = {
  online: CpuSet.parse("0-7"),
  present: CpuSet.parse("0-7"),
  reserved: CpuSet.empty,
  keepShared: CpuSet.of(0),
  bootId: "b",
};

describe("hostile files", function () {
  this.timeout(600_000);
  const dir = mkdtempSync(join(tmpdir(), "hb-"));
  after(() => rmSync(dir, { recursive: true }));
  const clean = (): void => {
    for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true });
  };
  /** A file that is no memory is set aside as it was. */
  const isAside = (loaded: { kind: string; aside?: string }, bytes: Uint8Array): void => {
    expect(loaded.kind).to.equal("damaged");
    expect(Buffer.compare(readFileSync(loaded.aside ?? ""), bytes)).to.equal(0);
  };

  it("in the checkpoint's place are what was written, or are set aside whole", async () => {
    const file = new CheckpointFile(dir);
    await file.save({ ...BOOT, entries: [ENTRY], complete: true });
    const good = new Uint8Array(readFileSync(file.path));
    const check = async (bytes: Uint8Array): Promise<void> => {
      clean();
      writeFileSync(file.path, bytes);
      const loaded = await file.load();
      if (loaded.kind === "memory") expect(loaded.memory.entries).to.deep.equal([ENTRY]);
      else isAside(loaded, bytes);
    };
    await fc.assert(fc.asyncProperty(mutated([good, ...corpus("checkpoints").values()]), check), runs(1500));
    for (const bytes of corpus("checkpoints").values()) await check(bytes);
  });

  it("in the place of the agent's own are what was written, or are set aside whole", async () => {
    const file = new AgentFile(dir);
    const allocations = [toAllocation(ENTRY)];
    await file.save({ ...BOOT, highestEpoch: 3n, revision: 1n, digest: "", machine, allocations, orphans: [] });
    const good = new Uint8Array(readFileSync(file.path));
    const check = async (bytes: Uint8Array): Promise<void> => {
      clean();
      writeFileSync(file.path, bytes);
      const loaded = await file.load();
      if (loaded.kind === "memory") expect(loaded.memory.allocations).to.deep.equal(allocations);
      else isAside(loaded, bytes);
    };
    await fc.assert(fc.asyncProperty(mutated([good]), check), runs(1500));
    for (const bytes of corpus("checkpoints").values()) await check(bytes);
  });

  it("among the CDI files never crash, and never give a CPU twice", async () => {
    const cdi = new CdiDirectory(join(dir, "cdi"));
    const other = "00000000-0000-4000-8000-00000000000b";
    const good = Buffer.from(cdiSpec(toAllocation(ENTRY)));
    await fc.assert(
      fc.asyncProperty(mutated([new Uint8Array(good), ...corpus("checkpoints").values()]), async (bytes) => {
        clean();
        mkdirSync(join(dir, "cdi"));
        writeFileSync(join(dir, "cdi", cdiFileName(UID)), good);
        writeFileSync(join(dir, "cdi", cdiFileName(other)), bytes);
        const { allocations, bare, unreadable } = await cdi.remembered();
        expect(allocations.length + bare.length + unreadable.length).to.equal(2);
        const ledger = new Ledger();
        for (const one of allocations) {
          try {
            ledger.put({ ...one, phase: "prepared", results: [] });
          } catch (cause) {
            expect((cause as Error).message).to.include("are held by claim");
          }
        }
        expect(
          ledger
            .held()
            .isSubsetOf(
              CpuSet.union([
                CpuSet.parse("2-3"),
                ...allocations.flatMap((one) => one.shares.map(({ cpus }) => cpus)),
                ...allocations.map((one) => one.idle),
              ]),
            ),
        ).to.equal(true);
      }),
      runs(1500),
    );
  });
});
