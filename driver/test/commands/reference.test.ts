import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { flagsOf, resolveSettings, SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { expect } from "chai";
import yargs from "yargs";
import { fromReference, REFUSED } from "../../src/commands/reference.ts";
import { DRIVER_SETTINGS, driverSettings, type DriverSettings } from "../../src/config/settings.ts";

const GUIDE = readFileSync(join(import.meta.dirname, "..", "..", "..", "docs", "migration.md"), "utf8");

/** As the driver's own `run` reads a command line. */
async function settingsOf(...argv: string[]): Promise<DriverSettings> {
  let found: DriverSettings | undefined;
  await yargs(fromReference(argv))
    .command(
      "run",
      "",
      (y) => y.options(flagsOf(DRIVER_SETTINGS)),
      (given) => {
        found = driverSettings(resolveSettings(DRIVER_SETTINGS, given, {}));
      },
    )
    .strict()
    .exitProcess(false)
    .fail((message, cause) => {
      throw cause ?? new SettingsFault(message);
    })
    .parseAsync();
  if (found === undefined) throw new Error(`${argv.join(" ")} runs nothing`);
  return found;
}

const refusal = (...argv: string[]): string => {
  try {
    return fromReference(argv).join(" ");
  } catch (cause) {
    return cause instanceof SettingsFault ? cause.message : String(cause);
  }
};

/** All flags of kubernetes-sigs/dra-driver-cpu v0.2.0 (commit de98098) but `--vmodule`, with a value and what it means here. */
const FLAGS: readonly (readonly [flag: string, value: string, key: keyof DriverSettings, means: unknown])[] = [
  ["--kubeconfig", "/etc/kube.conf", "kubeconfig", "/etc/kube.conf"],
  ["--bind-address", ":9090", "bindAddress", ":9090"],
  ["--expose-pcie-roots", "true", "exposePCIeRoots", true],
  ["--kubelet-root-dir", "/mnt/kubelet", "kubeletRootDir", "/mnt/kubelet"],
  ["--cpu-device-mode", "individual", "cpuDeviceMode", "individual"],
  ["--group-by", "socket", "groupBy", "socket"],
  ["--reserved-cpus", "0-1", "reservedCPUs", "0-1"],
  ["--hostname-override", "Node-A", "nodeName", "node-a"],
  ["--sysfs-overlay", "/etc/overlay.yaml", "sysfsOverlay", "/etc/overlay.yaml"],
  ["--v", "6", "logLevel", "debug"],
];

describe("the reference driver's command line", () => {
  /** Go's boolean flags take no word of their own. */
  const SPELLINGS: Readonly<Record<string, (flag: string, value: string) => string[]>> = {
    "--x=y": (flag, value) => [`${flag}=${value}`],
    "-x=y": (flag, value) => [`${flag.slice(1)}=${value}`],
    "--x y": (flag, value) => (value === "true" ? [flag] : [flag, value]),
    "-x y": (flag, value) => (value === "true" ? [flag.slice(1)] : [flag.slice(1), value]),
  };
  for (const [name, spelt] of Object.entries(SPELLINGS))
    it(`has its meaning, flag by flag, spelt ${name}`, async () => {
      const words = FLAGS.flatMap(([flag, value]) => spelt(flag, value));
      const found = await settingsOf(...words);
      for (const [flag, , key, means] of FLAGS) {
        const value = found[key];
        expect(value instanceof CpuSet ? value.toString() : value, flag).to.equal(means);
      }
      for (const before of ["/dracpu", "run"])
        expect(fromReference([before, ...words])).to.deep.equal(fromReference(words));
    });

  it("has a level for each of klog's", () => {
    const levels = ["0", "2", "4", "5", "6", "10"].map((level) => fromReference([`--v=${level}`])[1]);
    const [info, debug] = ["--log-level=info", "--log-level=debug"];
    expect(levels).to.deep.equal([info, info, info, info, debug, debug]);
  });

  it("takes truth as Go spells it, and nothing else", () => {
    const said = ["1", "T", "True", "0", "FALSE"].map((text) => fromReference([`--expose-pcie-roots=${text}`])[1]);
    const [yes, no] = ["--expose-pcie-roots=true", "--expose-pcie-roots=false"];
    expect(said).to.deep.equal([yes, yes, yes, no, no]);
    const wrong = (): unknown => fromReference(["--expose-pcie-roots=yes"]);
    expect(wrong).to.throw('--expose-pcie-roots: "yes" is neither true nor false');
  });

  it("is one in the form that its manifests have, with several flags", async () => {
    const found = await settingsOf(
      "/dracpu",
      "--v=4",
      "--bind-address=:8080",
      "-reserved-cpus=",
      "-group-by",
      "machine",
    );
    expect(found).to.deep.include({ logLevel: "info", bindAddress: ":8080", groupBy: "machine" });
    expect(found.reservedCPUs.isEmpty).to.equal(true);
    expect(fromReference(["/dracpu"])).to.deep.equal(["run"]);
    expect(fromReference(["--config=/etc/dracpu/config.yaml"])).to.deep.equal([
      "run",
      "--config=/etc/dracpu/config.yaml",
    ]);
  });

  it("leaves this program's own alone", () => {
    for (const words of [
      [],
      ["--help"],
      ["-h"],
      ["map", "-o", "json"],
      ["run", "--l3", "any"],
      ["call", "GetState", "-v"],
    ])
      expect(fromReference(words)).to.deep.equal(words);
    expect(fromReference(["--get-yargs-completions", "dracpu", "m"])[0]).to.equal("--get-yargs-completions");
    expect(fromReference(["/dracpu", "state"])).to.deep.equal(["state"]);
  });

  it("leaves a command of this program its flags where they are typed before it", () => {
    const before = (line: string): string => fromReference(line.split(" ")).join(" ");
    expect(before("--log-level debug doctor --pre")).to.equal("doctor --log-level debug --pre");
    expect(before("/dracpu --log-level=debug doctor")).to.equal("doctor --log-level=debug");
    expect(before("-o map map")).to.equal("map -o map");
    expect(before("--no-fold --expose-pcie-roots map")).to.equal("map --no-fold --expose-pcie-roots");
    expect(before("--pcie-root-lists false explain ns/pod")).to.equal("explain --pcie-root-lists false ns/pod");
    expect(before("--v=4 -group-by machine run --pin")).to.equal("run --log-level=info --group-by machine --pin");
    expect(before("--v 4 -expose-pcie-roots")).to.equal("run --log-level=info --expose-pcie-roots");
    expect(refusal("--v=4", "introspect")).to.include("introspect is the reference driver's");
  });

  for (const [word, instead] of Object.entries(REFUSED))
    it(`is refused with ${word}, and says what to use, as its guide does`, () => {
      const says = `${word} is the reference driver's: ${instead}.`;
      const lines = word.startsWith("--")
        ? [[`${word}=a=4`], [word.slice(1), "a=4"], ["run", word, "a=4"], ["/dracpu", "--v=4", `${word}=`]]
        : [[word], ["/dracpu", word, "--stdout"], ...(word === "gatherinfo" ? [["/dracpu-gatherinfo"]] : [])];
      for (const line of lines) expect(refusal(...line), line.join(" ")).to.equal(says);
      expect(GUIDE).to.include(`refused: "${says}"`);
    });

  it("is refused where the level is no number", () => {
    expect(refusal("--v=high")).to.equal('--v: "high" is no whole number');
    expect(refusal("-v")).to.equal('--v: "" is no whole number');
  });

  it("has a row in the guide for every flag", () => {
    const [, table = ""] = /\n\| flag \|.*\n\|[-|]+\n((?:\|.*\n)+)/.exec(GUIDE) ?? [];
    const rows = [...table.matchAll(/^\| `(--?[a-z-]+)`/gm)].map(([, flag]) => flag);
    const all = [
      "--config",
      ...new Set(FLAGS.map(([flag]) => flag)),
      ...Object.keys(REFUSED).filter((one) => one.startsWith("-")),
    ];
    expect(rows.toSorted()).to.deep.equal(all.toSorted());
  });
});
