import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

const MAIN = join(import.meta.dirname, "..", "..", "nri-agent", "src", "main.ts");

describe("the agent's start", function () {
  this.timeout(30_000);
  const dir = mkdtempSync(join(tmpdir(), "as-"));
  after(() => rmSync(dir, { recursive: true }));
  const ends = (status: number, ...args: string[]): string => {
    const ended = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", timeout: 20_000 });
    expect(ended.status, ended.stderr + ended.stdout).to.equal(status);
    return ended.stderr + ended.stdout;
  };
  /** Why it ended, where it had begun already. */
  const cause = (flag: string, value: string): string => {
    const flags = { "--state-dir": join(dir, "state"), "--cgroup-root": dir, [flag]: value };
    const [last = ""] = ends(1, "run", ...Object.entries(flags).flat())
      .trim()
      .split("\n")
      .slice(-1);
    return String((JSON.parse(last) as { cause?: unknown }).cause).split("\n")[0] ?? "";
  };

  it("is refused with every setting that cannot be: what was found, what is wanted, and where", () => {
    const long = `/${"x".repeat(120)}/a.sock`;
    const flags = {
      "--nri-socket": "nri.sock",
      "--control-socket": long,
      "--state-dir": "agent",
      "--foreign-load": "-2",
      "--host-proc": "proc",
      "--bind-address": "127.0.0.1:99999",
      "--plugin-index": "7",
    };
    expect(ends(2, "run", ...Object.entries(flags).flat())).to.equal(
      [
        'dracpu-agent: nriSocket (--nri-socket): "nri.sock" is no absolute path; it has to begin with a /',
        `controlSocket (--control-socket): Cannot use the Unix socket path ${long}: it has 128 bytes, at most 107 are possible; use a shorter directory`,
        'stateDir (--state-dir): "agent" is no absolute path; it has to begin with a /',
        "foreignLoad (--foreign-load): -2 is no percentage; wanted is 1 or more, or 0 for never",
        'hostProc (--host-proc): "proc" is no absolute path; it has to begin with a /',
        'bindAddress (--bind-address): "127.0.0.1:99999" is no address; wanted is [HOST]:PORT with a port up to 65535, such as :8080',
        'pluginIndex (--plugin-index): "7" is no index; wanted are two digits, such as 10',
        "",
      ].join("\n"),
    );
  });

  it("is refused with a configuration file that cannot be", () => {
    const file = join(dir, "agent.yaml");
    writeFileSync(file, "leverr: file\nforeignLoad: many\n");
    expect(ends(2, "run", `--config=${file}`)).to.equal(
      `dracpu-agent: ${file}: unknown setting "leverr"; did you mean lever?\n${file}: foreignLoad has to be a number, and is "many"\n`,
    );
  });

  it("is refused with directories that cannot be", () => {
    const nowhere = join(dir, "nowhere");
    mkdirSync(nowhere);
    expect(cause("--cgroup-root", nowhere)).to.equal(
      `CgroupFault: Cannot find the cpuset controller below ${nowhere}: neither cgroup.controllers with cpuset (v2) nor cpuset/cpuset.cpus (v1) is there; give the directory where the host's cgroup file system is mounted with --cgroup-root`,
    );
    const lines = ends(1, "run", "--state-dir", join(dir, "state"), "--cgroup-root", nowhere).split("\n").slice(0, 2);
    const said = lines.map((line) => JSON.parse(line) as { msg: string; configuration?: object });
    expect(said.map(({ msg }) => msg)).to.deep.equal(["dracpu-agent starts", "configuration in force"]);
    expect(said[1]?.configuration).to.deep.include({ cgroupRoot: nowhere, lever: "auto" });
    const state = join(dir, "x".repeat(100));
    const why = cause("--state-dir", state);
    expect(why).to.equal(
      `Error: Cannot use the Unix socket path ${state}/lock.sock: it has ${state.length + 10} bytes, at most 107 are possible; use a shorter directory (--state-dir)`,
    );
  });

  it("a call names the method, and says what of its request cannot be read", () => {
    expect(ends(2, "call", "GetStat")).to.match(
      /^dracpu-agent: There is no method GetStat; there are Inspect\.GetState, /,
    );
    expect(ends(1, "call", "GetState", "{")).to.match(
      /^dracpu-agent: Cannot use the request "\{" of Inspect\.GetState: .+\n$/,
    );
    expect(ends(1, "call", "GetState", '{"pod":1}')).to.match(
      /^dracpu-agent: Cannot use the request "\{\\"pod\\":1\}" of Inspect\.GetState: .+"pod".+\n$/,
    );
  });
});
