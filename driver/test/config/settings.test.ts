import { hostname } from "node:os";
import { resolveSettings, SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { expect } from "chai";
import { DEFAULT_POLICY } from "../../src/allocator/allocate.ts";
import { DRIVER_SETTINGS, driverSettings } from "../../src/config/settings.ts";

const policyOf = (argv: Readonly<Record<string, unknown>>): unknown =>
  driverSettings(resolveSettings(DRIVER_SETTINGS, argv, {})).policy;

describe("the node's defaults", () => {
  it("are the allocator's where nobody says anything", () => {
    expect(policyOf({})).to.deep.equal(DEFAULT_POLICY);
  });
  it("are what the flags say", () => {
    expect(policyOf({ strategy: "spread", cores: "whole", l3: "require", "core-type": "efficiency" })).to.deep.equal({
      strategy: "spread",
      cores: "whole",
      l3: "require",
      coreType: "efficiency",
    });
  });
  it("are refused where they are no such values, all at once", () => {
    expect(() => policyOf({ strategy: "pack", l3: "yes" }))
      .to.throw(SettingsFault)
      .with.property("message")
      .that.includes('strategy (--strategy): "pack" is none of packed, spread, distributed')
      .and.includes('l3 (--l3): "yes" is none of prefer, require, any');
  });
});

describe("the node's name", () => {
  const nameOf = (argv: Readonly<Record<string, unknown>>, env: Readonly<Record<string, string>>): string =>
    driverSettings(resolveSettings(DRIVER_SETTINGS, argv, env)).nodeName;

  it("is the flag's, else $NODE_NAME's, else the host's, in lower case", () => {
    expect(nameOf({ "node-name": "Flag" }, { NODE_NAME: "env" })).to.equal("flag");
    expect(nameOf({}, { NODE_NAME: "env" })).to.equal("env");
    expect(nameOf({}, {})).to.equal(hostname().toLowerCase());
    expect(nameOf({ "node-name": " " }, {})).to.equal(hostname().toLowerCase());
  });
});
