import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  CHOICES,
  CHOOSING,
  PARAMETERS_API_VERSION,
  PARAMETERS_KIND,
  readParameters,
} from "@dracpu/driver/claims/parameters.ts";
import { expect } from "chai";
import { parseAllDocuments } from "yaml";

const DOCS = join(import.meta.dirname, "..", "..", "docs");
const CPU_LIST = { type: "string", pattern: "^[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*$" };

/** What the validator's tables say, as a JSON schema. */
const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Opaque parameters of driver dra.cpu",
  oneOf: [{ $ref: "#/$defs/CPUParameters" }, { $ref: "#/$defs/reference" }],
  $defs: {
    CPUParameters: {
      type: "object",
      required: ["apiVersion", "kind"],
      additionalProperties: false,
      properties: {
        apiVersion: { const: PARAMETERS_API_VERSION },
        kind: { const: PARAMETERS_KIND },
        ...Object.fromEntries(Object.entries(CHOICES).map(([field, values]) => [field, { enum: values }])),
        cpuset: CPU_LIST,
      },
      dependentSchemas: { cpuset: { properties: Object.fromEntries(CHOOSING.map((field) => [field, false])) } },
    },
    reference: {
      type: "object",
      required: ["cpuConfig"],
      properties: {
        apiVersion: { const: "v1alpha1" },
        cpuConfig: { type: "object", required: ["cpuset"], properties: { cpuset: CPU_LIST } },
      },
    },
  },
};

describe("the parameters' documents", () => {
  it("have the schema that the validator is", () => {
    const path = join(DOCS, "parameters.schema.json");
    // `DRACPU_WRITE=1 npm run check:house` writes it anew; `npm run format` lays it out.
    if (process.env["DRACPU_WRITE"] !== undefined) writeFileSync(path, JSON.stringify(SCHEMA, undefined, 2));
    expect(JSON.parse(readFileSync(path, "utf8"))).to.deep.equal(SCHEMA);
  });

  it("have samples that the validator takes, one at least for every value of every field", () => {
    const seen = new Set<string>();
    const text = readFileSync(join(DOCS, "parameters.md"), "utf8");
    for (const [, block = ""] of text.matchAll(/```yaml\n([\s\S]*?)```/g)) {
      for (const document of parseAllDocuments(block)) {
        for (const value of parametersIn(document.toJS())) {
          const reading = readParameters(value);
          expect(reading.kind === "wrong" ? reading.problems : [], JSON.stringify(value)).to.deep.equal([]);
          if (reading.kind === "parameters" && !reading.reference)
            for (const [field, given] of Object.entries(value as object)) seen.add(`${field}: ${String(given)}`);
          if (reading.kind === "parameters" && reading.reference) seen.add("cpuConfig");
        }
      }
    }
    const wanted = Object.entries(CHOICES).flatMap(([field, values]) => values.map((value) => `${field}: ${value}`));
    expect([...wanted, "cpuConfig"].filter((one) => !seen.has(one))).to.deep.equal([]);
    expect([...seen].some((one) => one.startsWith("cpuset: "))).to.equal(true);
  });
});

/** Every `parameters` of the driver, wherever it stands. */
function parametersIn(value: unknown): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  const found =
    (value as { driver?: unknown; parameters?: unknown }).driver === "dra.cpu"
      ? [(value as { parameters?: unknown }).parameters]
      : [];
  return [...found, ...Object.values(value).flatMap(parametersIn)];
}
