import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { CdiDirectory } from "../../src/disk/cdidirectory.ts";
import { CheckpointFile } from "../../src/disk/checkpointfile.ts";
import { afterBoot, parseMemory, printMemory } from "../../src/ledger/checkpoint.ts";
import { Ledger, toAllocation, type Entry } from "../../src/ledger/ledger.ts";

const entry = (uid: string, cpus: string, phase: Entry["phase"] = "prepared"): Entry => ({
  claim: { uid, namespace: "default", name: `claim-${uid}` },
  phase,
  consumers: [{ resource: "pods", uid: "pu", name: "p" }],
  shares: [{ request: "cpus", pool: "n", device: "d", cpus: CpuSet.parse(cpus) }],
  idle: CpuSet.empty,
  isolated: false,
  results: [{ request: "cpus", pool: "n", device: "d", shareId: "s", count: CpuSet.parse(cpus).size }],
  operationId: "o",
});

describe("the ledger", () => {
  it("never holds a CPU for two claims, whatever is put into it", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ uid: fc.constantFrom("a", "b", "c"), first: fc.nat(6), size: fc.integer({ min: 1, max: 4 }) }),
        ),
        (puts) => {
          const ledger = new Ledger();
          for (const { uid, first, size } of puts) {
            try {
              ledger.put(entry(uid, `${first}-${first + size - 1}`));
            } catch (cause) {
              expect((cause as Error).message).to.include("are held by claim");
            }
            const sizes = ledger.entries().reduce((sum, one) => sum + (one.shares[0]?.cpus.size ?? 0), 0);
            expect(ledger.held().size).to.equal(sizes);
          }
        },
      ),
    );
  });
  it("names who holds CPUs", () => {
    const ledger = new Ledger();
    ledger.put(entry("a", "1-2"));
    ledger.put(entry("b", "4", "draining"));
    expect(ledger.holders(CpuSet.parse("0-7"))).to.equal(
      "default/claim-a (CPUs 1-2), default/claim-b (CPUs 4, being released)",
    );
  });
});

describe("the checkpoint", () => {
  const dir = mkdtempSync(join(tmpdir(), "cp-"));
  after(() => rmSync(dir, { recursive: true }));
  const memory = {
    bootId: "b1",
    epoch: 7n,
    complete: true,
    entries: [
      { ...entry("a", "1-2"), chosen: { atMs: 5, free: CpuSet.parse("1-7"), wishes: ["cpus: packed"] } },
      entry("b", "4", "draining"),
      entry("c", "5", "preparing"),
    ],
  };

  it("comes back as it was", async () => {
    const file = new CheckpointFile(dir);
    await file.save(memory);
    expect(await file.load()).to.deep.equal({ kind: "memory", memory });
  });
  it("cut or changed at any byte, is set aside and named, and nothing of it is lost", async () => {
    const file = new CheckpointFile(dir);
    await file.save(memory);
    const bytes = readFileSync(file.path);
    for (const at of [0, 10, 64, 65, 200, bytes.length - 2]) {
      writeFileSync(file.path, bytes.subarray(0, at));
      const loaded = await file.load();
      expect(loaded.kind, `cut at ${at}`).to.equal("damaged");
      if (loaded.kind === "damaged") expect(readFileSync(loaded.aside).length).to.equal(at);
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      writeFileSync(file.path, changed);
      expect((await file.load()).kind, `changed at ${at}`).to.equal("damaged");
    }
    expect((await file.load()).kind).to.equal("none");
  });
  it("remembers that not everybody was asked yet, and an older one knows all", () => {
    expect(parseMemory(printMemory({ ...memory, complete: false })).complete).to.equal(false);
    expect(parseMemory(printMemory(memory))).to.deep.equal(memory);
    expect(printMemory(memory)).to.not.include("complete");
  });
  it("of a later release, with members this one does not know, is read, and written again with them", () => {
    const later = JSON.parse(printMemory(memory)) as { claims: Record<string, unknown>[] };
    for (const claim of later.claims) {
      claim["tomorrow"] = { n: 1 };
      for (const share of claim["shares"] as Record<string, unknown>[]) share["tomorrow"] = true;
    }
    const read = parseMemory(JSON.stringify({ ...later, more: [2] }));
    expect(read.entries.map((one) => one.claim.uid)).to.deep.equal(["a", "b", "c"]);
    // As claims go on under this release: the entry changes, what it does not know stays.
    const [first, ...others] = read.entries;
    if (first === undefined) throw new Error("no entry");
    const written = JSON.parse(printMemory({ ...read, entries: [{ ...first, phase: "draining" }, ...others] })) as {
      claims: object[];
    };
    expect(written).to.deep.include({ more: [2], version: 1 });
    expect(written.claims[0])
      .to.deep.include({ phase: "draining", tomorrow: { n: 1 } })
      .and.not.have.property("later");
    expect(written.claims[0]).to.have.deep.nested.property("shares[0].tomorrow", true);
  });
  it("of another boot keeps the CPUs of claims, and forgets what was draining", () => {
    expect(afterBoot(memory, "b1")).to.equal(memory);
    expect(afterBoot(memory, "b2").entries.map((one) => [one.claim.uid, one.phase])).to.deep.equal([
      ["a", "allocated"],
      ["c", "allocated"],
    ]);
  });
});

describe("CDI files", () => {
  const dir = mkdtempSync(join(tmpdir(), "cdi-"));
  after(() => rmSync(dir, { recursive: true }));
  const uid = "11111111-2222-3333-4444-555555555555";

  it("hold a device for each request, with environment and gate, and remember the claim", async () => {
    const cdi = new CdiDirectory(join(dir, "new"));
    const two: Entry = {
      ...entry(uid, "2-3"),
      shares: [
        { request: "a", pool: "n", device: "d", cpus: CpuSet.parse("2-3") },
        { request: "b", pool: "n", device: "d", cpus: CpuSet.parse("8") },
      ],
    };
    await cdi.write(toAllocation(two));
    const spec = JSON.parse(readFileSync(join(dir, "new", `dra.k8s.io-cpu_claim-${uid}.json`), "utf8")) as {
      cdiVersion: string;
      kind: string;
      devices: unknown[];
    };
    expect(spec).to.deep.include({ cdiVersion: "0.6.0", kind: "dra.k8s.io/cpu" });
    expect(spec.devices).to.deep.equal(
      [
        ["a", "2-3"],
        ["b", "8"],
      ].map(([request, cpus]) => ({
        name: `claim-${uid}-${request ?? ""}`,
        containerEdits: {
          env: [`DRA_CPUSET_${uid}=2-3,8`, `DRA_CPUSHARE_${uid}_${request ?? ""}=${cpus ?? ""}`],
          mounts: [
            {
              hostPath: "/run/dra-driver-cpu/container-not-pinned-because-the-nri-agent-was-away",
              containerPath: "/run/dra-driver-cpu/gate-v1",
              options: ["ro", "bind"],
            },
          ],
        },
      })),
    );
    const remembered = await cdi.remembered();
    expect(remembered.allocations.map((one) => [one.claim.uid, one.shares.length])).to.deep.equal([[uid, 2]]);
    await cdi.remove(uid);
    await cdi.remove(uid);
    expect(await cdi.list()).to.deep.equal([]);
  });

  it("that cannot be read are named, whatever they are, and keep nobody from the others", async () => {
    const path = join(dir, "odd");
    const cdi = new CdiDirectory(path);
    await cdi.write(toAllocation(entry(uid, "2-3")));
    const file = (name: string): string => join(path, `dra.k8s.io-cpu_claim-${name}.json`);
    const annotated = (claim: object): string =>
      JSON.stringify({ kind: "dra.k8s.io/cpu", annotations: { "dra.cpu/allocation": JSON.stringify(claim) } });
    writeFileSync(file("garbled"), "{");
    writeFileSync(file("null"), "null");
    writeFileSync(file("nameless"), annotated({ shares: [], idle: "" }));
    const share = { request: "a", pool: "n", device: "d", cpus: "1" };
    writeFileSync(file("another"), annotated({ claim: { uid, namespace: "d", name: "x" }, shares: [share] }));
    writeFileSync(file("long"), Buffer.alloc((1 << 20) + 1, " "));
    mkdirSync(file("directory"));
    const remembered = await cdi.remembered();
    expect(remembered.allocations.map((one) => one.claim.uid)).to.deep.equal([uid]);
    expect(remembered.unreadable.map((one) => one.file.replace(/.*_claim-|[.]json/g, "")).sort()).to.deep.equal([
      "another",
      "directory",
      "garbled",
      "long",
      "nameless",
      "null",
    ]);
    expect(remembered.unreadable.every((one) => one.why !== "")).to.equal(true);
  });

  it("of the reference driver tell uid and CPUs, and keep the name of their one device when written again", async () => {
    const cdi = new CdiDirectory(join(dir, "reference"));
    const env = [`DRA_CPUSET_${uid}=0-1,4`];
    mkdirSync(join(dir, "reference"));
    writeFileSync(
      join(dir, "reference", `dra.k8s.io-cpu_claim-${uid}.json`),
      JSON.stringify({
        cdiVersion: "0.8.0",
        kind: "dra.k8s.io/cpu",
        devices: [{ name: `claim-${uid}`, containerEdits: { env } }],
        containerEdits: {},
      }),
    );
    const { allocations, bare, unreadable } = await cdi.remembered();
    expect([allocations, unreadable]).to.deep.equal([[], []]);
    expect(bare.map((one) => [one.uid, one.cpus.toString()])).to.deep.equal([[uid, "0-1,4"]]);
    const whole = { request: "", pool: "", device: "", cpus: CpuSet.parse("0-1,4") };
    await cdi.write(toAllocation({ ...entry(uid, "0-1,4"), shares: [whole] }));
    const text = readFileSync(join(dir, "reference", `dra.k8s.io-cpu_claim-${uid}.json`), "utf8");
    expect(text).to.include(`"name":"claim-${uid}"`).and.include(`"env":["DRA_CPUSET_${uid}=0-1,4"]`);
    expect(text).to.include("container-not-pinned");
  });

  it("in a directory that cannot be made, fail in a sentence", async () => {
    writeFileSync(join(dir, "file"), "");
    const fault = await new CdiDirectory(join(dir, "file", "cdi")).write(toAllocation(entry(uid, "1"))).then(
      () => "",
      (cause: Error) => cause.message,
    );
    expect(fault).to.include("Cannot make the CDI directory");
  });
});
