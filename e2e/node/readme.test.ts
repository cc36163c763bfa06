import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { IMAGE } from "../kit/image/image.ts";
import { NODE_NAME } from "../kit/node/node.ts";
import { world } from "./suite.ts";
import { until } from "./world.ts";

const ROOT = join(import.meta.dirname, "..", "..");

describe("what the README says to run without a cluster's help", function () {
  this.timeout(120_000);
  const [, section = ""] = readFileSync(join(ROOT, "README.md"), "utf8").split("## Run it without a cluster's help\n");
  const block = (kind: string): string => section.split(`\`\`\`${kind}\n`)[1]?.split("```")[0] ?? "";
  const { node, pair } = world;

  it("is both programs, which start as it has them but for this node's own directories, and a pod that says which CPUs are its own", async () => {
    const [build = "", agent = "", driver = "", ...more] = block("").trim().split("\n");
    expect(more).to.deep.equal([]);
    await pair.driver?.stop();
    await pair.agent?.stop();
    execFileSync("sh", ["-c", build], { cwd: ROOT, stdio: "pipe" });
    /** Its words, and what differs here after them: of a flag that comes twice the later one is meant. */
    const start = (name: string, line: string, ...flags: string[]): ReturnType<typeof node.host> => {
      const words = line
        .replace("$(hostname)", NODE_NAME)
        .replace(/\/etc\/kubernetes\/\S+/, node.kubeconfig)
        .split(" ")
        .map((word) => (/^(node_modules|dist)\//.test(word) ? join(ROOT, word) : word));
      expect(words).to.include("run");
      return node.host(name, [...words, ...flags]);
    };
    const state = (name: string): string => join(node.dir, "state", name);
    const control = ["--inspect-socket", pair.inspectSocket];
    pair.agent = start(
      "readme-agent",
      agent,
      ...["--nri-socket", node.nriSocket, "--control-socket", pair.controlSocket, ...control],
      ...["--state-dir", state("agent"), "--bind-address", "127.0.0.1:8081"],
    );
    pair.driver = start(
      "readme-driver",
      driver,
      ...["--kubelet-root-dir", node.kubeletRootDir, "--cdi-dir", node.cdiDir, "--agent-socket", pair.controlSocket],
      ...[...control, "--state-dir", state("driver"), "--bind-address", "127.0.0.1:8080", "--keep-shared", "0"],
    );
    await pair.ready();
    const file = join(node.dir, "readme.yaml");
    // There is no registry here.
    const manifest = block("yaml").replace(/^( *image:) busybox$/m, `$1 ${IMAGE}`);
    expect(manifest).to.include(IMAGE);
    writeFileSync(file, manifest);
    await node.kubectl("apply", "-f", file);
    await until("it says so", async () => (await node.kubectl("logs", "fast").catch(() => "")).includes("my CPUs are"));
    expect(await node.kubectl("logs", "fast")).to.match(/^my CPUs are 0-1$/m);
    expect(await node.kubectl("exec", "fast", "--", "grep", "Cpus_allowed_list", "/proc/self/status")).to.match(
      /:\s+0-1$/m,
    );
    await node.kubectl("delete", "pod/fast", "resourceclaimtemplate/two-cpus", "--grace-period=1");
    await world.removeAll();
    await pair.driver.stop();
    await pair.agent.stop();
  });
});
