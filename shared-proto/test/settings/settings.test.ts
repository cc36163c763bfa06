import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  flagsOf,
  flagTable,
  resolveSettings,
  SettingsFault,
  type Setting,
  type Values,
} from "@dracpu/shared-proto/settings/settings.ts";

const SETTINGS: readonly Setting[] = [
  {
    key: "reservedCPUs",
    flag: "reserved-cpus",
    type: "string",
    default: "",
    describe: "",
    check: (text) => (text === "bad" ? "it is bad" : undefined),
  },
  { key: "keepShared", flag: "keep-shared", type: "number", default: 1, describe: "" },
  { key: "lever", flag: "lever", type: "string", choices: ["auto", "file"], default: "auto", describe: "" },
  {
    key: "nodeName",
    keyAliases: ["hostnameOverride"],
    flag: "node-name",
    aliases: ["hostname-override"],
    type: "string",
    default: "",
    env: "NODE_NAME",
    describe: "Name of the node",
    otherwise: "the host name",
  },
];

describe("settings", () => {
  const dir = mkdtempSync(join(tmpdir(), "set-"));
  const file = join(dir, "config.yaml");
  after(() => rmSync(dir, { recursive: true }));
  const resolve = (argv: Record<string, unknown>, yaml?: string, env: Record<string, string> = {}): Values => {
    if (yaml !== undefined) writeFileSync(file, yaml);
    return resolveSettings(SETTINGS, { ...argv, ...(yaml === undefined ? {} : { config: file }) }, env);
  };

  it("come from flags, then the file, then the environment, then defaults", () => {
    expect(resolve({})).to.deep.equal({ reservedCPUs: "", keepShared: 1, lever: "auto", nodeName: "" });
    expect(
      resolve({ "keep-shared": 3 }, 'keepShared: 2\nreservedCPUs: "0"\nnodeName: from-file', { NODE_NAME: "from-env" }),
    ).to.deep.equal({
      reservedCPUs: "0",
      keepShared: 3,
      lever: "auto",
      nodeName: "from-file",
    });
    expect(resolve({}, undefined, { NODE_NAME: "from-env" })["nodeName"]).to.equal("from-env");
    expect(resolve({ "reserved-cpus": "" }, 'reservedCPUs: "0"')["reservedCPUs"]).to.equal("");
    expect(resolve({}, "")["keepShared"]).to.equal(1);
    expect(resolve({ "keep-shared": "3" })["keepShared"]).to.equal(3);
    expect(resolve({ "keep-shared": "-1" })["keepShared"]).to.equal(-1);
  });

  it("have other names in the file, and its version", () => {
    const named = resolve({}, "apiVersion: v1alpha1\nhostnameOverride: from-file", { NODE_NAME: "from-env" });
    expect(named["nodeName"]).to.equal("from-file");
  });

  it("say what is taken in their place, in the order in which it is", () => {
    const says = "Name of the node; else `$NODE_NAME`; else the host name.";
    expect(flagTable(SETTINGS)).to.include(
      `| \`--node-name\`, \`--hostname-override\` | \`nodeName\`, \`hostnameOverride\` |  | ${says} |`,
    );
    expect(flagsOf(SETTINGS)["node-name"]?.describe).to.include("; else $NODE_NAME; else the host name [");
  });

  it("take the file that $DRACPU_CONFIG names, unless --config names another or none", () => {
    const other = join(dir, "other.yaml");
    writeFileSync(other, "keepShared: 5");
    const env = { DRACPU_CONFIG: other };
    expect(resolve({}, undefined, env)["keepShared"]).to.equal(5);
    expect(resolve({}, "keepShared: 2", env)["keepShared"]).to.equal(2);
    expect(resolve({ config: "" }, undefined, env)["keepShared"]).to.equal(1);
    expect(() => resolve({}, undefined, { DRACPU_CONFIG: "/nowhere.yaml" })).to.throw(SettingsFault, "/nowhere.yaml");
  });

  for (const [what, argv, yaml, says] of [
    ["a misspelt key, with the nearest", {}, "reservedCpus: x", "did you mean reservedCPUs?"],
    ["all misspelt keys", {}, "levver: a\nkeepShard: 1", "keepShared?"],
    ["a key by two of its names", {}, "nodeName: a\nhostnameOverride: b", "nodeName is given twice"],
    ["another version of the file", {}, "apiVersion: v1", 'apiVersion "v1" is not known here; wanted is v1alpha1'],
    ["an unknown key, with what there is", {}, "somethingElse: 1", "known are reservedCPUs, keepShared"],
    ["a wrong type, with the cure", {}, "reservedCPUs: 0", 'write it in quotes: "0"'],
    ["a doubled key", {}, "lever: auto\nlever: file", "Map keys must be unique"],
    ["a list", {}, "- a", "no mapping"],
    ["a value that is none of the choices", {}, "lever: kernl", "none of auto, file"],
    ["a flag that is no number, as it was written", { "keep-shared": "abc" }, undefined, '"abc" is no whole number'],
    ["a fraction", { "keep-shared": 1.5 }, undefined, "no whole number"],
    ["a flag given twice", { lever: ["auto", "file"] }, undefined, '--lever is given more than once: "auto", "file"'],
    ["what its own check refuses", { "reserved-cpus": "bad" }, undefined, "reservedCPUs (--reserved-cpus): it is bad"],
    [
      "a file that is not there",
      { config: "/nowhere.yaml" },
      undefined,
      "Cannot read the configuration file /nowhere.yaml",
    ],
  ] as const) {
    it(`refuse ${what}`, () => {
      expect(() => resolve(argv, yaml)).to.throw(SettingsFault, says);
    });
  }
});
