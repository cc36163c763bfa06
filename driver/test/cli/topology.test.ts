import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { machine } from "../../../e2e/machines/build.ts";

const MAIN = join(import.meta.dirname, "..", "..", "src", "main.ts");

describe("dracpu topology", function () {
  this.timeout(20_000);
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), "topology-"));
  });
  after(() => {
    rmSync(dir, { recursive: true });
  });
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [MAIN, "topology", ...args], { encoding: "utf8" });
  const put = (path: string, text: string): string => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
    return join(dir, path);
  };

  it("an overlay alone is the whole machine, and its own overlay gives the same JSON", () => {
    const first = put("first.yaml", machine("ryzen-hx370"));
    const second = put("second.yaml", run("--sysfs-overlay", first, "-o", "overlay").stdout);
    const [a, b] = [first, second].map((path) => run("--sysfs-overlay", path, "-o", "json"));
    expect(a?.status).to.equal(0);
    expect(b?.stdout).to.equal(a?.stdout);
    expect(JSON.parse(a?.stdout ?? "")).to.include({ layout: "topology.dra.cpu/v1", online: "0-23", smt: true });
  });

  it("a copied sysfs has its /proc/cpuinfo beside it, and an overlay over it wins", () => {
    put("copy/sys/devices/system/cpu/online", "0-1\n");
    put(
      "copy/proc/cpuinfo",
      "processor : 0\nphysical id : 5\ncore id : 1\n\nprocessor : 1\nphysical id : 5\ncore id : 2\n",
    );
    const over = put("over.yaml", '"/sys/devices/system/cpu/isolated": "1"\n');
    const { stdout } = run("--sysfs-root", join(dir, "copy/sys"), "--sysfs-overlay", over);
    expect(stdout).to.match(/^Machine: 2 CPUs, 2 cores, SMT 1\n {2}Socket 5: 0-1\n/);
    expect(stdout).to.include("\nisolated: 1\n");
  });

  for (const [what, args, says] of [
    [
      "an overlay that is not there",
      ["--sysfs-overlay", "/nowhere.yaml"],
      "Cannot read the sysfs overlay /nowhere.yaml (--sysfs-overlay): ENOENT: no such file or directory, open '/nowhere.yaml'",
    ],
    [
      "a root without CPUs",
      ["--sysfs-root", "/nowhere/sys"],
      "Cannot tell the machine's CPUs: /nowhere/sys/devices/system/cpu/online does not exist, and /nowhere/proc/cpuinfo names none; give the host's /sys with --sysfs-root",
    ],
  ] as const) {
    it(`says what is wrong with ${what}, in one line`, () => {
      const { status, stderr } = run(...args);
      expect(status).to.equal(1);
      expect(stderr).to.equal(`dracpu: ${says}\n`);
    });
  }
});
