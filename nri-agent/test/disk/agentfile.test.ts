import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { AgentFile } from "../../src/disk/agentfile.ts";
import type { AgentMemory } from "../../src/enforce/ports.ts";

const MEMORY: AgentMemory = {
  bootId: "b",
  highestEpoch: 7n,
  epoch: 7n,
  revision: 3n,
  digest: "d",
  machine: {
    online: CpuSet.parse("0-7"),
    present: CpuSet.parse("0-7"),
    reserved: CpuSet.empty,
    keepShared: CpuSet.parse("0"),
    bootId: "b",
  },
  allocations: [
    {
      claim: { uid: "00000000-0000-4000-8000-000000000001", namespace: "default", name: "c" },
      state: "prepared",
      consumers: [{ resource: "pods", uid: "p", name: "p" }],
      shares: [{ request: "cpus", pool: "n", device: "d", cpus: CpuSet.parse("2-3") }],
      idle: CpuSet.empty,
      isolated: false,
      operationId: "",
    },
  ],
  orphans: [],
};

describe("the agent's own file", () => {
  const dir = mkdtempSync(join(tmpdir(), "af-"));
  const file = new AgentFile(dir);
  after(() => rmSync(dir, { recursive: true }));
  const written = async (): Promise<string> => {
    await file.save(MEMORY);
    return readFileSync(file.path, "utf8");
  };

  it("comes back as it was, and is JSON", async () => {
    expect(JSON.parse(await written())).to.include({ version: 1, epoch: "7" });
    const loaded = await file.load();
    expect(loaded.kind === "memory" && loaded.memory).to.deep.equal(MEMORY);
  });

  it("is read as a version before it wrote it, without a sum, and with members of a version after", async () => {
    const text = await written();
    writeFileSync(file.path, text.replace(/,\n "sum": "[^"]*"/, ""));
    expect((await file.load()).kind).to.equal("memory");
    const body = text.replace(/,\n "sum": "[^"]*"\n}\n$/, ',\n "tomorrow": {}');
    const sum = createHash("sha256").update(body).digest("hex");
    writeFileSync(file.path, `${body},\n "sum": "${sum}"\n}\n`);
    expect((await file.load()).kind).to.equal("memory");
  });

  it("is set aside where the sum's own member was changed, so that nothing else of it can be believed", async () => {
    const text = (await written()).replace('"2-3"', '"2-4"');
    for (const changed of ['"sux"', '"sum" ', '"Sum"', '"sum":'])
      for (const bytes of [text.replace('"sum"', changed), text.replace('\n "sum"', `\t${changed}`)]) {
        writeFileSync(file.path, bytes);
        expect((await file.load()).kind, JSON.stringify(changed)).to.equal("damaged");
      }
  });

  it("changed at any byte is what it was, or is set aside and named", async () => {
    const text = await written();
    for (let at = 0; at < text.length; at++) {
      const changed = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
      writeFileSync(file.path, changed);
      const loaded = await file.load();
      // A sum that does not look like one any more is none.
      if (loaded.kind === "memory") expect(loaded.memory, `byte ${at}`).to.deep.equal(MEMORY);
      else expect(loaded.kind === "damaged" && readFileSync(loaded.aside, "utf8")).to.equal(changed);
      for (const name of readdirSync(dir)) rmSync(join(dir, name));
    }
  });
});
