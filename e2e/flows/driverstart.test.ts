import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { expect } from "chai";
import type { ClaimReference } from "../kit/fakecluster/kubelet.ts";
import { DriverNode } from "../kit/drivernode.ts";
import { until } from "../kit/node/processes.ts";

// What the driver finds when it starts: a file of its own that is cut in half, and settings that cannot be.
describe("the driver's start", function () {
  this.timeout(60_000);
  const node = new DriverNode(18_094);
  const { dir, kubelet, agent } = node;
  before(async () => {
    await node.listen();
    await node.serveAgent();
    await node.up();
    await node.ready();
  });
  after(() => node.end());
  const agentHolds = (ref: ClaimReference): string | undefined =>
    agent.enforcer.state(create(GetStateRequestSchema)).allocations.find((one) => one.claim?.uid === ref.uid)?.shares[0]
      ?.cpus;

  it("says what it is first, and the configuration in force in the second line", () => {
    const lines = node.driver.log().split("\n").slice(0, 2);
    const [first, second] = lines.map((line) => JSON.parse(line) as { msg: string; configuration?: object });
    expect(first?.msg).to.equal("dracpu starts");
    expect(second?.msg).to.equal("configuration in force");
    expect(second?.configuration).to.deep.include({
      stateDir: node.driver.stateDir,
      cpuDeviceMode: "grouped",
      groupBy: "numanode",
    });
  });

  it("sets a checkpoint aside that was cut in half, and knows its claims from their CDI files", async () => {
    // What is free before it would be its CPUs, were they chosen anew.
    const lower = node.claimed("lower", 2);
    expect((await kubelet.prepare(lower)).error).to.equal("");
    const ref = node.claimed("cut", 3);
    expect((await kubelet.prepare(ref)).error).to.equal("");
    expect(await kubelet.unprepare(lower)).to.equal("");
    const cpus = agentHolds(ref);
    expect(cpus).to.equal("4-6");
    await node.kill();
    const file = join(node.driver.stateDir, "checkpoint.json");
    truncateSync(file, Math.floor(statSync(file).size / 2));
    const cut = readFileSync(file);
    await node.up();
    await node.ready();
    const [aside = ""] = readdirSync(node.driver.stateDir).filter((name) => name.includes("damaged"));
    expect(readFileSync(join(node.driver.stateDir, aside)).equals(cut)).to.equal(true);
    const [said] = node.driver
      .log()
      .split("\n")
      .filter((line) => line.includes("the checkpoint is damaged"));
    expect(JSON.parse(said ?? "")).to.deep.include({
      msg: "the checkpoint is damaged and was set aside; it is rebuilt from CDI files and the NRI agent",
      file: join(node.driver.stateDir, aside),
      cause: "its checksum does not fit its content: it was cut or changed",
      code: "DRACPU-601",
    });
    expect((await kubelet.prepare(ref)).error).to.equal("");
    expect(agentHolds(ref)).to.equal(cpus);
    expect(await kubelet.unprepare(ref)).to.equal("");
  });

  it("does not start with what cannot be, and says what is wanted", async () => {
    await node.kill();
    const unreadable = join(dir, "sysfs");
    mkdirSync(join(unreadable, "devices/system/cpu"), { recursive: true });
    symlinkSync("online", join(unreadable, "devices/system/cpu/online"));
    const ends = async (status: number, flags: Readonly<Record<string, string>>): Promise<string> => {
      expect(await node.driver.start(flags).exited).to.equal(status);
      return node.driver.log();
    };
    /** Why it ended, where it had begun already. */
    const cause = async (flags: Readonly<Record<string, string>>): Promise<string> => {
      const [last = ""] = (await ends(1, flags)).trim().split("\n").slice(-1);
      return String((JSON.parse(last) as { cause?: unknown }).cause).split("\n")[0] ?? "";
    };
    const long = `/${"x".repeat(120)}/a.sock`;
    expect(
      await ends(2, {
        "--agent-socket": long,
        "--reserved-cpus": "3-1",
        "--keep-shared": "-2",
        "--cdi-dir": "cdi",
        "--bind-address": "localhost",
        "--page-address": "0.0.0.0:8082",
      }),
    ).to.equal(
      [
        `dracpu: reservedCPUs (--reserved-cpus): Cannot read "3-1" as a CPU list: range 3-1 runs backwards; wanted a list such as "0-3,8"`,
        "keepShared (--keep-shared): -2 is no number of CPUs; wanted is 0 or more, or -1 for what fits the reserved CPUs",
        'cdiDir (--cdi-dir): "cdi" is no absolute path; it has to begin with a /',
        `agentSocket (--agent-socket): Cannot use the Unix socket path ${long}: it has 128 bytes, at most 107 are possible; use a shorter directory`,
        'bindAddress (--bind-address): "localhost" is no address; wanted is [HOST]:PORT with a port up to 65535, such as :8080',
        'pageAddress (--page-address): "0.0.0.0:8082" is not on the loopback interface; wanted is 127.0.0.1:PORT or [::1]:PORT',
        "",
      ].join("\n"),
    );
    const kubeletDir = `/${"x".repeat(90)}`;
    expect(await cause({ "--kubelet-root-dir": kubeletDir })).to.equal(
      `Error: Cannot use the Unix socket path ${kubeletDir}/plugins/dra.cpu/.dra.sock.new: it has 121 bytes, at most 107 are possible; use a shorter directory (--kubelet-root-dir)`,
    );
    const warned = node.driver.start({ "--reserved-cpus": "0-99" });
    const reserved = "reserved CPUs 8-99 (--reserved-cpus) do not exist on this machine; it has CPUs 0-7";
    await until("it names the CPUs", () => node.driver.log().includes(`"${reserved}"`), 30_000);
    await warned.stop();
    const none = join(dir, "none.json");
    expect(await cause({ "--sysfs-overlay": none })).to.equal(
      `OverlayFault: Cannot read the sysfs overlay ${none} (--sysfs-overlay): ENOENT: no such file or directory, open '${none}'`,
    );
    expect(await cause({ "--sysfs-overlay": "", "--sysfs-root": unreadable })).to.equal(
      `TopologyFault: Cannot tell the machine's CPUs: ${unreadable}/devices/system/cpu/online cannot be read (ELOOP), and ${dir}/proc/cpuinfo names none; give the host's /sys with --sysfs-root`,
    );
  });
});
