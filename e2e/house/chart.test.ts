import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DRIVER_SETTINGS } from "@dracpu/driver/config/settings.ts";
import { AGENT_SETTINGS } from "@dracpu/nri-agent/config/settings.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { expect } from "chai";
import { isMap, isScalar, parse, parseDocument } from "yaml";
import { OF_THE_CHART, VALUES_SCHEMA } from "./chartschema.ts";

const CHART = join(import.meta.dirname, "..", "..", "charts", "dra-driver-cpu");
const read = (name: string): string => readFileSync(join(CHART, name), "utf8");

describe("the chart", () => {
  it("has the schema of its values, settings from the programs' own tables", () => {
    const path = join(CHART, "values.schema.json");
    // `DRACPU_WRITE=1 npm run check:house` writes it anew; `npm run format` lays it out.
    if (process.env["DRACPU_WRITE"] !== undefined) writeFileSync(path, JSON.stringify(VALUES_SCHEMA, undefined, 2));
    expect(JSON.parse(read("values.schema.json"))).to.deep.equal(JSON.parse(JSON.stringify(VALUES_SCHEMA)));
  });

  it("leaves out no setting but those that it makes itself", () => {
    const keys = [...DRIVER_SETTINGS, ...AGENT_SETTINGS].map((one) => one.key);
    expect(OF_THE_CHART.filter((key) => !keys.includes(key))).to.deep.equal([]);
  });

  it("has every value of its schema, and explains it", () => {
    const properties = Object.keys((VALUES_SCHEMA as unknown as { properties: object }).properties);
    const document = parseDocument(read("values.yaml"));
    const found = isMap(document.contents) ? document.contents.items : [];
    const names = found.map(({ key }) => (isScalar(key) ? String(key.value) : ""));
    expect(names.toSorted()).to.deep.equal(properties.filter((one) => !["global", "enabled"].includes(one)).toSorted());
  });

  it("is of the programs' version", () => {
    expect(parse(read("Chart.yaml"))).to.include({ version: VERSION, appVersion: VERSION });
  });
});
