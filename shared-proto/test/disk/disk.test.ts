import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { LatestWrite } from "@dracpu/shared-proto/disk/latest.ts";
import {
  DiskFault,
  diskFault,
  keepAside,
  readBounded,
  removeWhole,
  temporaryOf,
  writeWhole,
} from "@dracpu/shared-proto/disk/whole.ts";

describe("files", () => {
  const dir = mkdtempSync(join(tmpdir(), "disk-"));
  after(() => rmSync(dir, { recursive: true }));

  it("are written whole, readable by nobody else, and leave nothing beside them", async () => {
    await writeWhole(join(dir, "a"), "one");
    await writeWhole(join(dir, "a"), "two");
    expect(readFileSync(join(dir, "a"), "utf8")).to.equal("two");
    expect(readdirSync(dir)).to.deep.equal(["a"]);
  });
  it("are written over what a killed process of the same pid left of them, and removed with it", async () => {
    // In a container each life has the same pid.
    const left = temporaryOf(join(dir, "killed"));
    writeFileSync(left, "half of a longer cont");
    await writeWhole(join(dir, "killed"), "whole");
    expect(readFileSync(join(dir, "killed"), "utf8")).to.equal("whole");
    writeFileSync(left, "half");
    await removeWhole(join(dir, "killed"));
    expect(readdirSync(dir).filter((name) => name.includes("killed"))).to.deep.equal([]);
  });
  it("that cannot be written keep their old content, and say why", async () => {
    mkdirSync(join(dir, "b", "inside"), { recursive: true });
    const fault = await writeWhole(join(dir, "b"), "x").then(
      () => undefined,
      (cause: unknown) => cause as DiskFault,
    );
    expect(fault).to.be.instanceOf(DiskFault);
    expect(fault?.message).to.include(`Cannot write ${join(dir, "b")}`);
    expect(readdirSync(dir).filter((name) => name.endsWith(".tmp"))).to.deep.equal([]);
    expect(existsSync(join(dir, "b", "inside"))).to.equal(true);
  });
  for (const [errno, code, says] of [
    ["ENOSPC", "full", "the disk is full"],
    ["EROFS", "read-only", "read-only"],
    ["EACCES", "denied", "permission denied"],
    ["EIO", "io", "input/output error"],
  ] as const) {
    it(`${errno} is ${code}`, () => {
      const fault = diskFault("write", "/x", Object.assign(new Error(), { code: errno }));
      expect([fault.code, fault.message]).to.deep.equal([
        code,
        `Cannot write /x: ${fault.message.split(": ")[1] ?? ""}`,
      ]);
      expect(fault.message).to.include(says);
    });
  }
  it("are read up to a bound, and a missing one is no fault", async () => {
    writeFileSync(join(dir, "long"), "0123456789");
    expect(await readBounded(join(dir, "long"), 10)).to.equal("0123456789");
    expect(await readBounded(join(dir, "none"), 10)).to.equal(undefined);
    expect(await readBounded(join(dir, "long"), 9).catch((cause: Error) => cause.message)).to.include(
      "has 10 bytes, at most 9 are read",
    );
    chmodSync(join(dir, "long"), 0o600);
    await removeWhole(join(dir, "long"));
    await removeWhole(join(dir, "long"));
  });
  it("that are damaged are kept aside, each under a name of its own", async () => {
    const names: string[] = [];
    for (let n = 0; n < 2; n++) {
      writeFileSync(join(dir, "bad"), String(n));
      names.push(await keepAside(join(dir, "bad")));
    }
    expect(names.map((name) => readFileSync(name, "utf8"))).to.deep.equal(["0", "1"]);
  });
});

describe("writes of one file", () => {
  it("share the next one while one is under way, and each caller is told of content at least as new as its own", async () => {
    let value = 0;
    let written = 0;
    let writes = 0;
    const latest = new LatestWrite(async () => {
      writes += 1;
      const now = value;
      await new Promise((resolve) => setTimeout(resolve, 5));
      written = now;
    });
    await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        value = n + 1;
        await latest.save();
        expect(written).to.be.at.least(n + 1);
      }),
    );
    expect(writes).to.be.at.most(3);
  });
  it("that fail tell those who waited, and the next one is tried anew", async () => {
    let fail = true;
    const latest = new LatestWrite(async () => {
      await Promise.resolve();
      if (fail) throw new Error("full");
    });
    const first = latest.save().catch((cause: Error) => cause.message);
    const second = latest.save().then(
      () => "written",
      (cause: Error) => cause.message,
    );
    expect(await first).to.equal("full");
    fail = false;
    expect(await second).to.equal("written");
  });
});
