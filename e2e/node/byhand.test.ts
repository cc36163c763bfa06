import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { leftovers, surroundings } from "../kit/node/leftovers.ts";
import { until } from "../kit/node/processes.ts";

// A node of its own, when the suite's is gone.
const untouched = surroundings();
describe("npm run node", function () {
  this.timeout(300_000);

  it("is a node whose shell does what it says to try, and takes everything down at its end", async () => {
    const node = spawn(process.execPath, [join(import.meta.dirname, "up.ts")], { stdio: ["pipe", "pipe", "pipe"] });
    let said = "";
    let errors = "";
    node.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
    node.stderr.on("data", (bytes: Buffer) => (errors += bytes.toString()));
    const ended = new Promise<number | null>((resolve) => node.on("exit", resolve));
    try {
      await until("it says what to try", () => said.includes("exit takes everything down"), 120_000);
      const tries = said.split("\n").flatMap((line) => /^ {2}(\S.*)$/.exec(line)?.[1] ?? []);
      expect(tries).to.have.lengthOf(7);
      const [dir = ""] = /\/tmp\/\S+(?=,)/.exec(said) ?? [];
      for (const line of tries.filter((one) => !one.startsWith("tail "))) {
        // As a person does, who looks until the pod runs.
        if (line.includes("exec fast")) node.stdin.write("kubectl wait --for=condition=Ready pod/fast --timeout=60s\n");
        node.stdin.write(`${line}; echo "STATUS $?"\n`);
      }
      node.stdin.end("exit\n");
      expect(await ended, errors).to.equal(0);
      expect([...said.matchAll(/STATUS (\d+)$/gm)].map(([, status]) => status)).to.deep.equal(Array(6).fill("0"));
      expect(said).to.include("kind: ResourceSlice").and.include("pod/fast created");
      expect(said).to.match(/^Cpus_allowed_list:\s+[01]$/m);
      expect(said)
        .to.match(/"name": ?"fast"/)
        .and.match(/allocated,reserved/);
      expect(existsSync(dir), dir).to.equal(false);
      expect(leftovers(untouched)).to.deep.equal([]);
    } catch (cause) {
      console.log(said.slice(-3000), errors.slice(-2000));
      throw cause;
    } finally {
      node.kill("SIGTERM");
    }
  });
});
