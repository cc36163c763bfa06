import { expect } from "chai";
import fc from "fast-check";
import { CHOICES, readParameters, type ParametersReading } from "../../src/claims/parameters.ts";

const HEAD = { apiVersion: "dra.cpu/v1alpha1", kind: "CPUParameters" };
const problems = (value: unknown): readonly string[] => {
  const reading = readParameters(value);
  return reading.kind === "wrong" ? reading.problems : [];
};
/** A reading with its cpuset as text. */
const plain = (reading: ParametersReading): unknown =>
  reading.kind === "wrong"
    ? reading
    : {
        ...reading.parameters,
        ...(reading.parameters.cpuset === undefined ? {} : { cpuset: reading.parameters.cpuset.toString() }),
      };

describe("opaque parameters", () => {
  for (const [field, values] of Object.entries(CHOICES)) {
    for (const value of values) {
      it(`take ${field}: ${value}`, () => {
        expect(plain(readParameters({ ...HEAD, [field]: value }))).to.deep.equal({ [field]: value });
      });
    }
  }
  it("take exact CPUs, and isolation beside them", () => {
    expect(plain(readParameters({ ...HEAD, cpuset: "8,2-5", isolation: "isolated" }))).to.deep.equal({
      cpuset: "2-5,8",
      isolation: "isolated",
    });
  });
  for (const [what, value, says] of [
    ["nothing", null, ["they are null; wanted an object with apiVersion, kind and at least one field"]],
    ["a list", [HEAD], ["they are a list; wanted an object with apiVersion, kind and at least one field"]],
    ["text", "spread", ['they are "spread"; wanted an object with apiVersion, kind and at least one field']],
    [
      "no head",
      {},
      ['`apiVersion` is missing; wanted "dra.cpu/v1alpha1"', '`kind` is missing; wanted "CPUParameters"'],
    ],
    [
      "another version",
      { ...HEAD, apiVersion: "dra.cpu/v1" },
      ['`apiVersion` is "dra.cpu/v1"; wanted "dra.cpu/v1alpha1"'],
    ],
    [
      "misspelt fields and values, all of them",
      { ...HEAD, Strategy: "packed", core: "whole", l3: "required", coreType: "fast", isolation: true },
      [
        'there is no field "Strategy"; did you mean strategy?',
        'there is no field "core"; did you mean cores?',
        '`l3` is "required"; wanted prefer, require or any; did you mean require?',
        '`coreType` is "fast"; wanted any, performance or efficiency',
        "`isolation` is true; wanted exclusive or isolated",
      ],
    ],
    [
      "a field of something else",
      { ...HEAD, sharing: {} },
      ['there is no field "sharing"; there are strategy, cores, l3, coreType, isolation, cpuset'],
    ],
    ["names that every object has", { ...HEAD, constructor: "x", toString: "y" }, 2],
    ["a number for CPUs", { ...HEAD, cpuset: 3 }, ['`cpuset` is the number 3; write it in quotes: "3"']],
    ["no CPUs", { ...HEAD, cpuset: "" }, ['`cpuset` is empty; wanted a CPU list such as "2-5"']],
    ["CPUs backwards", { ...HEAD, cpuset: "5-2" }, 1],
    [
      "exact CPUs with a choice",
      { ...HEAD, cpuset: "2-5", strategy: "spread", l3: "any" },
      ["`cpuset` names every CPU, so `strategy` and `l3` have nothing to choose; leave one or the other out"],
    ],
    ["more than fits", { ...HEAD, note: "x".repeat(11_000) }, 1],
    ["a hundred mistakes", Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`x${n}`, n])), 11],
  ] as const) {
    it(`are refused: ${what}`, () => {
      const found = problems(value);
      if (typeof says === "number") expect(found).to.have.length(says);
      else expect(found).to.deep.equal(says);
    });
  }
  it("are refused where they are nested too deep to be written", () => {
    let deep: unknown = {};
    for (let n = 0; n < 100_000; n++) deep = [deep];
    expect(problems({ ...HEAD, deep })).to.deep.equal(["they take far more than 10 KiB"]);
  });

  it("may be the reference driver's, with what it tolerates", () => {
    for (const value of [
      { apiVersion: "v1alpha1", cpuConfig: { cpuset: "2-5" } },
      { cpuConfig: { cpuset: "2-5" } },
      { apiVersion: "v1alpha1", cpuConfig: { cpuset: "2-5", more: 1 }, kind: "Whatever", strategy: 7 },
    ]) {
      const reading = readParameters(value);
      expect(reading).to.include({ kind: "parameters", reference: true });
      expect(plain(reading)).to.deep.equal({ cpuset: "2-5" });
    }
  });
  for (const [what, value, says] of [
    ["another version", { apiVersion: "v1", cpuConfig: { cpuset: "2" } }, '`apiVersion` is "v1"; with `cpuConfig`'],
    ["nothing in it", { apiVersion: "v1alpha1" }, '`cpuConfig` is missing; wanted {"cpuset": "2-5"}'],
    ["null in it", { cpuConfig: null }, "`cpuConfig` is null"],
    ["no CPUs", { cpuConfig: {} }, "`cpuConfig.cpuset` is missing"],
    ["empty CPUs", { cpuConfig: { cpuset: "" } }, "`cpuConfig.cpuset` is empty"],
    ["odd CPUs", { cpuConfig: { cpuset: "a-b" } }, "`cpuConfig.cpuset`: Cannot read"],
  ] as const) {
    it(`may be the reference driver's, and are refused: ${what}`, () => {
      expect(problems(value)).to.have.length(1);
      expect(problems(value)[0]).to.include(says);
    });
  }

  it("never crash, and are whole or refused in words, whatever JSON they are", () => {
    const keys = fc.constantFrom("apiVersion", "kind", "cpuConfig", "cpuset", "__proto__", ...Object.keys(CHOICES));
    const values = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom("dra.cpu/v1alpha1", "v1alpha1", "CPUParameters", "2-5", "packed", "isolated", "any"),
      fc.dictionary(fc.constantFrom("cpuset", "x"), fc.jsonValue()),
    );
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), fc.dictionary(keys, values)), (value) => {
        const given: unknown = JSON.parse(JSON.stringify(value));
        const reading = readParameters(given);
        if (reading.kind === "parameters") {
          expect(Object.keys(reading.parameters)).to.satisfy((all: string[]) =>
            all.every((key) => key === "cpuset" || Object.hasOwn(CHOICES, key)),
          );
        } else {
          expect(reading.problems).to.not.be.empty;
          expect(reading.problems.join("; ").length).to.be.below(2500);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
