import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { until } from "../../../e2e/kit/node/processes.ts";
import { CpusetFiles } from "../../src/cgroup/cpusetfs.ts";

describe("a partition's file", () => {
  const root = mkdtempSync(join(tmpdir(), "wa-"));
  after(() => rmSync(root, { recursive: true }));

  it("is told of when it changes, until nobody follows it; one that is gone cannot be followed", async () => {
    mkdirSync(join(root, "p"));
    const file = join(root, "p", "cpuset.cpus.partition");
    writeFileSync(file, "root\n");
    const files = new CpusetFiles({ version: 2, root, cpus: "cpuset.cpus", effective: "cpuset.cpus.effective" });
    let changes = 0;
    const end = files.watchPartition("/p", () => changes++);
    writeFileSync(file, "root invalid\n");
    await until("it is told", () => changes > 0, 2000, 10);
    end?.();
    const before = changes;
    writeFileSync(file, "member\n");
    await sleep(50);
    expect(changes).to.equal(before);
    expect(files.watchPartition("/gone", () => {})).to.equal(undefined);
  });
});
