import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { Check } from "@dracpu/driver/doctor/facts.ts";
import type { Picture } from "@dracpu/driver/picture/picture.ts";
import { expect } from "chai";
import { machineNamed } from "../demo/machines.ts";
import { EmbeddedNode } from "../kit/embedded/node.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const main = (name: string): string[] => [process.execPath, join(ROOT, name, "src", "main.ts")];

interface Ended {
  readonly status: number;
  readonly out: string;
  readonly error: string;
}

// The command line on a node whose two programs are real.
describe("the commands of dracpu", function () {
  this.timeout(120_000);
  const { text, online } = machineNamed("usual");
  const node = new EmbeddedNode({ machine: text, online, driver: main("driver"), agent: main("nri-agent") });
  const dracpu = (...argv: string[]): Promise<Ended> =>
    new Promise((resolve) => {
      const [file = "", script = ""] = main("driver");
      execFile(file, [script, ...argv, "--config", node.config], { maxBuffer: 64 << 20 }, (cause, out, error) => {
        resolve({ status: cause === null ? 0 : Number(cause.code), out, error });
      });
    });
  const drawn = async (...argv: string[]): Promise<{ readonly picture: Picture; readonly status: number }> => {
    const { out, status } = await dracpu("map", "-o", "json", ...argv);
    return { picture: (JSON.parse(out) as { picture: Picture }).picture, status };
  };
  const checked = async (
    ...argv: string[]
  ): Promise<{ readonly checks: readonly Check[]; readonly status: number }> => {
    const { out, status } = await dracpu("doctor", "-o", "json", "--nri-socket", node.runtime.path, ...argv);
    return { checks: (JSON.parse(out) as { checks: Check[] }).checks, status };
  };
  before(async () => {
    await node.start();
    await node.submit({ namespace: "shop", name: "web", containers: ["main"] });
    await node.submit({ namespace: "shop", name: "db", containers: ["main"], claim: { cpus: 4 } });
  });
  after(() => node.end());

  it("draw what the kernel's files say, and end well", async () => {
    const { picture, status } = await drawn();
    expect(status).to.equal(0);
    expect(picture.findings).to.deep.equal([]);
    const db = node.pods.get("db");
    expect(picture.claims.map((one) => one.cpus)).to.deep.equal([db === undefined ? "" : node.cpusOf(db)["main"]]);
    const text = await dracpu("map");
    expect(text.out).to.include("Socket 0").and.include("shop/db-cpus");
    expect((await dracpu("claims")).out).to.match(/shop\/db-cpus +prepared +4/);
  });

  it("explain a pod: who, why, and what happened; and say so where there is none", async () => {
    const { out, status } = await dracpu("explain", "shop/db");
    expect(status).to.equal(0);
    expect(out).to.match(/✔ shop\/db\/main has CPUs \S+ alone/);
    expect(out)
      .to.match(/why +cpus: /)
      .and.match(/free then/)
      .and.include("Pinned to CPUs");
    const none = await dracpu("explain", "nobody");
    expect(none.status).to.equal(2);
    expect(none.error).to.include("shop/db");
  });

  it("compare everything, and find what is wrong by its code", async () => {
    const { checks, status } = await checked();
    expect(checks.filter(({ verdict }) => verdict === "wrong" || verdict === "warning")).to.deep.equal([]);
    expect(status).to.equal(0);
    const stale = join(node.dir, "cdi", "dra.k8s.io-cpu_claim-nobody.json");
    writeFileSync(stale, "{");
    const odd = await checked();
    expect(odd.status).to.equal(3);
    expect(odd.checks.map((one) => one.code)).to.include.members([CODES.cdiUnreadable.id, CODES.cdiStale.id]);
  });

  it("gather an archive that draws the same, with nothing of others in it", async () => {
    writeFileSync(join(node.dir, "cdi", "vendor.json"), '{"secret":"planted-secret"}');
    const path = join(node.dir, "bundle.tgz");
    const { status } = await dracpu("gather", "--file", path);
    expect(status).to.equal(0);
    expect(existsSync(path)).to.equal(true);
    const all = gunzipSync(readFileSync(path)).toString("latin1");
    expect(all).to.include("MANIFEST.json").and.include("checkpoint.json").and.include("shop");
    expect(all).to.not.include("planted-secret");
    const { picture } = await drawn("--from", path);
    expect(picture.claims.map((one) => one.name)).to.deep.equal(["db-cpus"]);
    expect((await dracpu("explain", "db", "--from", path)).out).to.include("alone");
  });

  it("go on without the driver, and without the agent, and say which is away", async () => {
    await node.kill("driver");
    const blind = await drawn();
    expect(blind.status).to.equal(3);
    expect(blind.picture.findings.map((one) => one.code)).to.deep.equal([CODES.driverAway.id]);
    expect(blind.picture.claims.map((one) => one.count)).to.deep.equal([4]);
    expect(blind.picture.containers.map((one) => one.pod)).to.deep.equal(["db", "web"]);
    expect((await dracpu("explain", "db")).out)
      .to.match(/has CPUs \S+ alone/)
      .and.match(/free then/);
    await node.kill("agent");
    const { checks, status } = await checked();
    expect(status).to.equal(3);
    expect(checks.map((one) => one.code)).to.include.members([CODES.driverAway.id, CODES.inspectAway.id]);
    expect((await drawn()).picture.claims.map((one) => one.count)).to.deep.equal([4]);
  });

  it("look at a node before anything is installed", async () => {
    const { checks } = await checked("--pre");
    expect(checks.map((one) => one.what)).to.include.members(["kernel", "kubelet", "runtime", "API server"]);
  });

  it("end with 2 where they are used wrongly", async () => {
    expect((await dracpu("map", "--colour")).status).to.equal(2);
    expect((await dracpu("map", "--from", node.config)).status).to.equal(2);
  });
});
