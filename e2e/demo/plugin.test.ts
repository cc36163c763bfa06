import { execFile, execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeView } from "@dracpu/driver/cluster/cluster.ts";
import { expect } from "chai";
import { bundle } from "../../images/bundle.ts";
import { npmPlugin } from "../../images/npm.ts";
import { machineNamed } from "../demo/machines.ts";
import { EmbeddedNode } from "../kit/embedded/node.ts";
import { NODE } from "../kit/driver.ts";
import { until } from "../kit/node/processes.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const main = (name: string): string[] => [process.execPath, join(ROOT, name, "src", "main.ts")];
const SOURCE = join(ROOT, "driver", "src", "kubectl", "main.ts");

// kubectl's plugin against an API server that forwards ports as the real one does, to a real driver.
describe("kubectl dracpu", function () {
  this.timeout(120_000);
  const { text, online } = machineNamed("usual");
  const node = new EmbeddedNode({ machine: text, online, driver: main("driver"), agent: main("nri-agent") });
  const file = join(node.dir, "kubectl-dracpu");
  const plugin = (...argv: string[]): Promise<{ status: number; out: string; error: string }> =>
    new Promise((resolve) => {
      execFile(
        process.execPath,
        [file, ...argv, "--kubeconfig", join(node.dir, "kubeconfig")],
        { maxBuffer: 64 << 20 },
        (cause, out, error) => resolve({ status: cause === null ? 0 : Number(cause.code), out, error }),
      );
    });
  let cpus = "";
  before(async () => {
    // As it is given to people: one file.
    await bundle(SOURCE, file);
    await node.start();
    const pod = await node.submit({ namespace: "shop", name: "db", containers: ["main"], claim: { cpus: 4 } });
    cpus = node.cpusOf(pod)["main"] ?? "";
  });
  after(() => node.end());

  it("is installed by npm as a command of its own", () => {
    const [archive, prefix] = [join(node.dir, "plugin.tgz"), join(node.dir, "npm")];
    writeFileSync(archive, npmPlugin("1.2.3", readFileSync(file), Buffer.from("words"), "22.15"));
    const flags = ["--global", "--offline", "--no-audit", "--no-fund", "--prefix", prefix];
    execFileSync("npm", ["install", ...flags, archive], { stdio: "pipe" });
    const command = join(prefix, "bin", "kubectl-dracpu");
    expect(execFileSync(process.execPath, [command, "version"], { encoding: "utf8" })).to.include("kubectl-dracpu");
  });

  it("counts nodes and claims from the API alone", async () => {
    const { out } = await plugin("nodes", "-o", "json");
    const { nodes } = JSON.parse(out) as { nodes: NodeView[] };
    expect(nodes).to.have.length(1);
    expect(nodes[0]).to.include({ node: NODE, capacity: 63, taken: 4, free: 59, claims: 1, largest: 16 });
    expect((await plugin("nodes")).out).to.match(/node-1 +63 +4 +59 +16 +73 % +1/);
    expect((await plugin("nodes", "--by-device")).out).to.match(/cpudevnuma000 +0 +\S+ +15/);
    const who = new RegExp(`node-1 +shop/db-cpus +4 +${cpus} +cpudevnuma\\d+ +db`);
    await until("the claim's status has its CPUs", async () => who.test((await plugin("who")).out));
    const asked = (): number => node.api.requests.filter((one) => one.includes("/pods")).length;
    const before = asked();
    await plugin("who", "--node", NODE);
    expect(asked()).to.equal(before);
  });

  it("asks a node through its driver's pod, found by the node's name, a pod or a claim", async () => {
    for (const target of [NODE, "shop/db", "shop/db-cpus", "claim/shop/db-cpus"]) {
      const { out, status } = await plugin("map", target);
      expect(status, out).to.equal(0);
      expect(out).to.include("Socket 0").and.include("shop/db-cpus");
    }
    expect((await plugin("explain", "db", "-n", "shop")).out).to.include(`shop/db/main has CPUs ${cpus} alone`);
    expect((await plugin("explain", "shop/db/main")).out).to.include("Pinned to CPUs");
    expect((await plugin("explain", "db-cpus", "-n", "shop")).out).to.include(`shop/db/main has CPUs ${cpus} alone`);
    expect((await plugin("topology", NODE)).out).to.match(/^ {2}Socket 0.*: CPUs 0-\S+\n( {4}NUMA node 0.*\n)/m);
    expect((await plugin("doctor", NODE)).out).to.include("driver, agent and kernel agree");
  });

  it("follows a node, and counts again when something changes, until it is interrupted", async () => {
    const run = (...argv: string[]): { out(): string; end(): Promise<number | null> } => {
      const child = spawn(process.execPath, [file, ...argv, "--kubeconfig", join(node.dir, "kubeconfig")]);
      let out = "";
      child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      return {
        out: () => out,
        end: () => {
          child.kill("SIGINT");
          return new Promise((resolve) => child.on("exit", resolve));
        },
      };
    };
    const [followed, counted] = [run("watch", NODE), run("nodes", "--watch")];
    await until(
      "both have said how it is",
      () => followed.out().includes("Pinned to CPUs") && counted.out().includes("63"),
    );
    const pod = await node.submit({ namespace: "shop", name: "more", containers: ["main"], claim: { cpus: 2 } });
    await until("both say that it is otherwise", () => /more/.test(followed.out()) && /63 +6 /.test(counted.out()));
    for (const one of [followed, counted]) expect(await one.end()).to.equal(0);
    await node.remove(pod);
  });

  it("holds the way to the page open", async () => {
    const child = spawn(process.execPath, [file, "page", NODE, "--kubeconfig", join(node.dir, "kubeconfig")]);
    let out = "";
    child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
    const url = await until("it says where", () => /http:\S+/.exec(out)?.[0]);
    expect(await (await fetch(url)).text()).to.include("<title>dracpu</title>");
    child.kill("SIGINT");
    await new Promise((resolve) => child.on("exit", resolve));
  });

  it("says what is wrong where there is no such node, no driver, or no page", async () => {
    const nobody = await plugin("map", "nobody");
    expect(nobody.status).to.equal(2);
    expect(nobody.error).to.include("neither a node with the driver nor a pod");
    expect(await plugin("explain", "nobody")).to.include({ status: 2 });
    expect((await plugin("map", "claim/nobody")).error).to.include("There is no claim nobody");
    const { driverPods } = node.api;
    node.api.driverPods = [];
    const none = await plugin("map", NODE);
    expect(none.status).to.equal(2);
    expect(none.error).to.include(`No pod of the driver runs on ${NODE}`);
    node.api.driverPods = driverPods;
    const closed = await plugin("map", NODE, "--page-port", "9");
    expect(closed.status).to.equal(1);
    expect(closed.error).to.include("connection refused");
  });
});
