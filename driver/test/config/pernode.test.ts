import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LabelsFile } from "@dracpu/shared-proto/disk/labelsfile.ts";
import { labelsSpokenOf, resolveSettings, SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { expect } from "chai";
import { valuesOf as valuesFor } from "../../src/commands/argv.ts";
import { DRIVER_SETTINGS } from "../../src/config/settings.ts";

const FILE = `
groupBy: socket
reservedCPUs: "0"
perNode:
- matchLabels: {type: metal}
  settings: {groupBy: l3cache, strategy: spread}
- matchLabels: {type: metal, size: big}
  settings: {groupBy: machine}
`;

describe("settings by the node's labels", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "pn-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const argvOf = (text: string): { config: string } => {
    const config = join(dir, "config.yaml");
    writeFileSync(config, text);
    return { config };
  };
  const valuesOf = (labels: Readonly<Record<string, string>>, more: object = {}): unknown => {
    const values = resolveSettings(DRIVER_SETTINGS, { ...argvOf(FILE), ...more }, {}, labels);
    return [values["groupBy"], values["strategy"], values["reservedCPUs"]];
  };

  it("hold where all labels of an entry fit; the later entry wins, and flags over both", () => {
    expect(valuesOf({})).to.deep.equal(["socket", "packed", "0"]);
    expect(valuesOf({ type: "metal", other: "x" })).to.deep.equal(["l3cache", "spread", "0"]);
    expect(valuesOf({ size: "big" })).to.deep.equal(["socket", "packed", "0"]);
    expect(valuesOf({ type: "metal", size: "big" })).to.deep.equal(["machine", "spread", "0"]);
    expect(valuesOf({ type: "metal" }, { "cpu-device-group-by": "numanode" })).to.deep.equal([
      "numanode",
      "spread",
      "0",
    ]);
  });

  it("need only the labels that are spoken of", () => {
    expect(labelsSpokenOf(DRIVER_SETTINGS, argvOf(FILE), {})).to.deep.equal(["type", "size"]);
    expect(labelsSpokenOf(DRIVER_SETTINGS, argvOf("groupBy: socket"), {})).to.deep.equal([]);
  });

  it("hold for who looks from the pod as the driver saw the labels last, without a flag", async () => {
    const env = { DRACPU_CONFIG: argvOf(`${FILE}\nstateDir: ${dir}`).config };
    expect(valuesFor({}, env)["groupBy"]).to.equal("socket");
    await new LabelsFile(dir).save({ type: "metal" });
    expect(valuesFor({}, env)["groupBy"]).to.equal("l3cache");
    expect(valuesFor({ config: "" }, env)["groupBy"]).to.equal("numanode");
  });

  it("are checked on every node, whichever they are for", () => {
    const wrong = `perNode:
- matchLabels: {type: metal}
  settings: {groupby: l3cache, stateDir: /x, keepShared: "1"}
- settings: {}
- matchLabels: {a: b}
  settings: {}
  setings: {}
- matchLabels: {a: c}
  settings: {keepShared: -7, l3: maybe}
`;
    expect(() => resolveSettings(DRIVER_SETTINGS, argvOf(wrong), {}))
      .to.throw(SettingsFault)
      .with.property("message")
      .that.includes('perNode[0]: unknown setting "groupby"; did you mean groupBy?')
      .and.includes('perNode[0]: unknown setting "stateDir"')
      .and.includes("perNode[0]: keepShared has to be a number")
      .and.includes("perNode[1] has to have matchLabels")
      .and.includes('perNode[2]: unknown key "setings"')
      .and.includes("perNode[3]: keepShared: -7 is no number of CPUs")
      .and.includes('perNode[3]: l3: "maybe" is none of prefer');
  });
});
