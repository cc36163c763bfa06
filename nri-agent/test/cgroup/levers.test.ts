import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { findLevers } from "../../src/cgroup/levers.ts";
import type { CpusetHierarchy } from "../../src/cgroup/cpusetfs.ts";

describe("the levers where cgroups cannot be written", () => {
  const root = mkdtempSync(join(tmpdir(), "lv-"));
  after(() => rmSync(root, { recursive: true }));
  const at: CpusetHierarchy = { root, version: 2, cpus: "cpuset.cpus", effective: "cpuset.cpus.effective" };
  const why = `file lever: ${root} cannot be written (no cpuset.cpus in a new cgroup (is +cpuset in cgroup.subtree_control of the root?))`;

  it("leave the runtime's, which says why, or what was wanted", () => {
    expect(findLevers(at, "auto")).to.deep.equal({ force: "runtime", masks: "runtime", why });
    expect(findLevers(at, "runtime")).to.deep.equal({ force: "runtime", masks: "runtime", why: "--lever runtime" });
  });
  it("that are wanted and do not work are errors, and no others are taken in their place", () => {
    expect(() => findLevers(at, "kernel")).to.throw(`Cannot use --lever kernel here: ${why}; use --lever auto`);
    expect(() => findLevers(at, "file")).to.throw(`Cannot use --lever file here: ${why}; use --lever auto or runtime`);
  });
  it("leave no cgroup behind that was made to try", () => {
    expect(readdirSync(root)).to.deep.equal([]);
  });
});
