import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { FakeApiServer } from "../kit/fakecluster/apiserver.ts";
import { until } from "../kit/node/processes.ts";

const main = (of: string): string => join(import.meta.dirname, "..", "..", of, "src", "main.ts");
const AGENT_CONFIG = `
lever: file
perNode:
- matchLabels: {type: metal}
  settings: {pinMemory: true, lever: runtime}
`;

describe("settings of the agent by the node's labels", function () {
  this.timeout(60_000);
  const dir = mkdtempSync(join(tmpdir(), "nl-"));
  const state = join(dir, "agent");
  const file = join(state, "node-labels.json");
  const fake = new FakeApiServer();
  before(async () => {
    writeFileSync(join(dir, "agent.yaml"), AGENT_CONFIG);
    await fake.listen();
    fake.kubeconfig(join(dir, "kubeconfig"));
  });
  after(async () => {
    await fake.close();
    rmSync(dir, { recursive: true });
  });
  const ended = (of: string, ...args: string[]): Promise<{ status: number; lines: string[] }> =>
    new Promise((resolve) => {
      const child = execFile(process.execPath, [main(of), ...args], { timeout: 20_000 }, (_cause, stdout, stderr) =>
        resolve({ status: child.exitCode ?? -1, lines: `${stdout}${stderr}`.trim().split("\n") }),
      );
    });
  const words = (...more: string[]): string[] => [
    "node-labels",
    "--label=type",
    ...more,
    `--to=${state}`,
    "--node-name=n",
    `--kubeconfig=${join(dir, "kubeconfig")}`,
  ];
  const keep = (...more: string[]): ReturnType<typeof ended> => ended("driver", ...words(...more));
  /** The agent ends at once, for what it is given is no cgroup file system; what it goes by it has said before. */
  const inForce = async (): Promise<{ configuration: unknown[]; said: string }> => {
    const { lines } = await ended(
      "nri-agent",
      "run",
      `--config=${join(dir, "agent.yaml")}`,
      `--state-dir=${state}`,
      `--cgroup-root=${dir}`,
    );
    const { configuration = {} } = JSON.parse(lines[1] ?? "{}") as { configuration?: Record<string, unknown> };
    return { configuration: [configuration["lever"], configuration["pinMemory"]], said: lines.join("\n") };
  };

  it("do not hold where the labels are not known, and the log says so", async () => {
    const { configuration, said } = await inForce();
    expect(configuration).to.deep.equal(["file", false]);
    expect(said).to.include("settings that go by them do not hold").and.include(file);
  });

  it("hold where the driver's first step has kept the labels that are spoken of, and no others", async () => {
    fake.nodeLabels = { type: "metal", other: "x" };
    expect((await keep()).status).to.equal(0);
    expect(JSON.parse(readFileSync(file, "utf8"))).to.deep.equal({ type: "metal" });
    expect(await inForce())
      .to.deep.include({ configuration: ["runtime", true] })
      .with.property("said")
      .that.does.not.include("do not hold");
  });

  it("are those of last time while the API server is away", async () => {
    fake.fault = { code: 503, message: "no etcd" };
    const { status, lines } = await keep();
    expect([status, lines.join("\n").includes("those of last time")]).to.deep.equal([0, true]);
    // It insists for a while: one answer that fails is no reason to go by what may have changed.
    expect(fake.requests.filter((one) => one.includes("/nodes/")).length).to.be.above(5);
    fake.fault = undefined;
  });

  it("are asked for until they are known where last time's are of other settings, and a signal ends that as a failure", async () => {
    fake.fault = { code: 503, message: "no etcd" };
    const child = spawn(process.execPath, [main("driver"), ...words("--label=zone")]);
    let said = "";
    child.stdout.on("data", (text: Buffer) => (said += text.toString()));
    await until("it waits", () => said.includes("nothing: waiting"), 20_000, 20);
    child.kill("SIGTERM");
    const [status] = (await once(child, "exit")) as [number];
    expect(status).to.equal(143);
    fake.fault = undefined;
    writeFileSync(file, '{"other":"x"}');
    expect(await inForce())
      .to.deep.include({ configuration: ["file", false] })
      .with.property("said")
      .that.includes("do not hold");
    expect((await keep("--label=zone")).status).to.equal(0);
    expect(JSON.parse(readFileSync(file, "utf8"))).to.deep.equal({ type: "metal", zone: null });
  });

  it("are not gone by where a label has changed and cannot be kept: the step fails, and is tried again", async () => {
    fake.nodeLabels = { type: "virtual" };
    rmSync(file);
    mkdirSync(file);
    const { status, lines } = await keep();
    expect(status).to.equal(1);
    expect(lines.join("\n")).to.include("Cannot write").and.include("could not be kept where the agent reads them");
    rmSync(file, { recursive: true });
    expect((await keep()).status).to.equal(0);
    expect((await inForce()).configuration).to.deep.equal(["file", false]);
  });

  it("do not hold by a file that is none of ours", async () => {
    for (const text of ["null", "{", '"metal"', '{"type":["metal"]}']) {
      writeFileSync(file, text);
      expect((await inForce()).configuration, text).to.deep.equal(["file", false]);
    }
  });

  it("are refused where the step is not told where they go", async () => {
    for (const args of [["--to=/a"], ["--label=a"]]) {
      const { status, lines } = await ended("driver", "node-labels", ...args);
      expect([status, lines[0]?.includes("with --to, and with --label")]).to.deep.equal([2, true]);
    }
  });
});
