import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SysfsMachine } from "@dracpu/nri-agent/sysfs/online.ts";
import { expect } from "chai";

describe("the CPUs that are online", () => {
  const root = mkdtempSync(join(tmpdir(), "on-"));
  const file = join(root, "devices/system/cpu/online");
  const told: string[] = [];
  const machine = new SysfsMachine(root, false, (why) => told.push(why));
  after(() => rmSync(root, { recursive: true }));

  it("are as the file says; why they cannot be told is said once for each cause, with the file", () => {
    const online = (): string | undefined => {
      machine.online();
      return machine.online()?.toString();
    };
    expect(online()).to.equal(undefined);
    mkdirSync(join(root, "devices/system/cpu"), { recursive: true });
    symlinkSync("online", file);
    expect(online()).to.equal(undefined);
    rmSync(file);
    writeFileSync(file, "0-3,7\n");
    expect(online()).to.equal("0-3,7");
    writeFileSync(file, "\n");
    expect(online()).to.equal(undefined);
    writeFileSync(file, "3-1\n");
    expect(online()).to.equal(undefined);
    expect(told).to.deep.equal([
      `ENOENT: no such file or directory, open '${file}'`,
      `ELOOP: too many symbolic links encountered, open '${file}'`,
      `${file} names no CPU`,
      `${file}: Cannot read "3-1\\n" as a CPU list: range 3-1 runs backwards; wanted a list such as "0-3,8"`,
    ]);
  });
});
