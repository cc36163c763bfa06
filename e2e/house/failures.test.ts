import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";

describe("a failure of a suite with a cluster", function () {
  this.timeout(20_000);

  it("is dumped once, of tests and of hooks, before its suite cleans up", () => {
    const mocha = join(import.meta.dirname, "..", "..", "node_modules", "mocha", "bin", "mocha.js");
    const fixture = join(import.meta.dirname, "failing.ts");
    const { stdout } = spawnSync(process.execPath, [mocha, "--no-config", fixture], { encoding: "utf8" });
    expect(stdout.split("\n").filter((line) => /^(dumped|\w+ is cleaned)/.test(line))).to.deep.equal([
      "dumped one hook: in before",
      "one is cleaned",
      "dumped two fails: itself",
      "dumped two inner hook: in beforeEach",
      "two is cleaned",
    ]);
  });
});
