import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect } from "chai";

const MAIN = join(import.meta.dirname, "..", "..", "driver", "src", "main.ts");

describe("a container with the reference driver's arguments and file", function () {
  this.timeout(30_000);

  it("runs the driver by them", async () => {
    const dir = mkdtempSync(join(tmpdir(), "ref-"));
    const file = join(dir, "config.yaml");
    writeFileSync(file, 'apiVersion: v1alpha1\nhostnameOverride: Node-A\ngroupBy: socket\nreservedCPUs: "0"\n');
    const driver = spawn(
      process.execPath,
      [
        MAIN,
        ...["/dracpu", "--v=6", "--bind-address=127.0.0.1:0", "-group-by=machine", `--config=${file}`],
        // Not the reference's: nothing of this machine is used.
        ...[`--state-dir=${dir}`, `--kubelet-root-dir=${dir}`, "--page-address=", `--cdi-dir=${dir}`],
        ...[`--agent-socket=${join(dir, "c.sock")}`, `--inspect-socket=${join(dir, "i.sock")}`],
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const ended = new Promise((resolve) => driver.once("exit", resolve));
    try {
      let configuration: object | undefined;
      for await (const line of createInterface(driver.stdout)) {
        const said = JSON.parse(line) as { configuration?: object };
        configuration = said.configuration;
        if (configuration !== undefined) break;
      }
      expect(configuration).to.include({
        logLevel: "debug",
        nodeName: "node-a",
        groupBy: "machine",
        reservedCPUs: "0",
      });
    } finally {
      driver.kill("SIGKILL");
      await ended;
      rmSync(dir, { recursive: true });
    }
  });
});
