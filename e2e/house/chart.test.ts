import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DRIVER_SETTINGS } from "@dracpu/driver/config/settings.ts";
import { AGENT_SETTINGS } from "@dracpu/nri-agent/config/settings.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { expect } from "chai";
import { isMap, isNode, isScalar, parse, parseDocument } from "yaml";
import { OF_THE_CHART, VALUES_SCHEMA } from "./chartschema.ts";

const CHART = join(import.meta.dirname, "..", "..", "charts", "dra-driver-cpu");
const read = (name: string): string => readFileSync(join(CHART, name), "utf8");

/** Values that the schema does not divide and that have no comment, and values of the schema that are not there, by their paths. */
function inspect(
  values: unknown,
  schema: object,
  path: readonly string[],
): { unexplained: string[]; missing: string[] } {
  const { properties } = schema as { properties?: Readonly<Record<string, object>> };
  const found = { unexplained: [] as string[], missing: [] as string[] };
  if (properties === undefined || !isMap(values)) return found;
  const pairs = values.items;
  const here = new Map(pairs.map((pair) => [isScalar(pair.key) ? String(pair.key.value) : "", pair]));
  for (const [name, within] of Object.entries(properties)) {
    const whole = [...path, name];
    const pair = here.get(name);
    if (pair === undefined) {
      found.missing.push(whole.join("."));
      continue;
    }
    const { key, value } = pair;
    if ("properties" in within && isMap(value) && value.items.length > 0) {
      const below = inspect(value, within, whole);
      found.unexplained.push(...below.unexplained);
      found.missing.push(...below.missing);
      continue;
    }
    // What stands above the first of a map is the map's.
    const above = pair === pairs[0] ? values.commentBefore : undefined;
    const texts = [above, isNode(key) && key.commentBefore, isNode(value) && (value.comment ?? value.commentBefore)];
    if (!texts.some((text) => typeof text === "string" && text.trim() !== "")) found.unexplained.push(whole.join("."));
  }
  return found;
}

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

  it("has every value of its schema, and a comment at each that has no values of its own", () => {
    const { unexplained, missing } = inspect(parseDocument(read("values.yaml")).contents, VALUES_SCHEMA, []);
    expect({ unexplained, missing }).to.deep.equal({ unexplained: [], missing: ["global", "enabled"] });
    // The comment of a list stands above it, or where it begins.
    const few = inspect(
      parseDocument("driver:\n  image: x\n  port: 1 # p\n  # e\n  env: []\n").contents,
      VALUES_SCHEMA,
      [],
    );
    expect(few.unexplained).to.deep.equal(["driver.image"]);
    expect(few.missing).to.include.members(["agent", "driver.resources"]);
  });

  it("is of the programs' version", () => {
    expect(parse(read("Chart.yaml"))).to.include({ version: VERSION, appVersion: VERSION });
  });

  it("takes the licence along", () => {
    expect(read("LICENSE")).to.equal(readFileSync(join(CHART, "..", "..", "LICENSE"), "utf8"));
  });
});
