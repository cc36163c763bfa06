import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";

const DEMO = join(import.meta.dirname, "..", "demo", "demo.ts");

describe("the demo", function () {
  this.timeout(180_000);

  it("plays its scenario with both processes, and everything is as promised", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [DEMO, "--once"]);
    expect(stdout).to.include("all as promised");
  });
});
