import { expect } from "chai";
import fc from "fast-check";
import { DEFAULT_POLICY } from "../../src/allocator/allocate.ts";
import { wishOf, wishText } from "../../src/claims/precedence.ts";

const HEAD = { apiVersion: "dra.cpu/v1alpha1", kind: "CPUParameters" };
const entry = (source: string, requests: unknown, fields: object, driver = "dra.cpu"): unknown => ({
  source,
  requests,
  opaque: { driver, parameters: { ...HEAD, ...fields } },
});
const reference = (source: string, requests: unknown, cpuset: string): unknown => ({
  source,
  requests,
  opaque: { driver: "dra.cpu", parameters: { apiVersion: "v1alpha1", cpuConfig: { cpuset } } },
});
const said = (config: unknown, request = "cpus", defaults = DEFAULT_POLICY): string => {
  const reading = wishOf(request, config, "dra.cpu", defaults);
  return reading.kind === "wish" ? wishText(reading.wish) : reading.problems.join("; ");
};
const strategy = (config: unknown, request?: string): string => /strategy (\w+)/.exec(said(config, request))?.[1] ?? "";

describe("who has the last word", () => {
  const node = { ...DEFAULT_POLICY, strategy: "distributed", l3: "require" } as const;
  it("is the node where nobody else speaks", () => {
    for (const config of [undefined, null, [], {}, "x", [null, 3, {}, { opaque: null }]])
      expect(said(config, "cpus", node)).to.equal("strategy distributed, cores any, l3 require, coreType any");
  });
  it("is the claim, then the DeviceClass, then the node, field by field, in whatever order they are listed", () => {
    const config = [
      entry("FromClaim", [], { strategy: "spread" }),
      entry("FromClass", [], { strategy: "packed", cores: "whole", isolation: "isolated" }),
    ];
    expect(said(config, "cpus", node)).to.equal("strategy spread, cores whole, l3 require, coreType any, isolated");
  });
  it("is the alternative, then the request, then what names none, within one source", () => {
    const config = [
      entry("FromClaim", ["cpus/big"], { strategy: "distributed" }),
      entry("FromClaim", ["x", "cpus"], { strategy: "spread" }),
      entry("FromClaim", [], { strategy: "packed" }),
    ];
    expect(strategy(config, "cpus/big")).to.equal("distributed");
    expect(strategy(config, "cpus/small")).to.equal("spread");
    expect(strategy(config, "cpus")).to.equal("spread");
    expect(strategy(config, "other")).to.equal("packed");
  });
  it("is the claim even where the DeviceClass is more specific", () => {
    const config = [
      entry("FromClass", ["cpus"], { strategy: "distributed" }),
      entry("FromClaim", [], { strategy: "spread" }),
    ];
    expect(strategy(config)).to.equal("spread");
  });
  it("is the later of equals", () => {
    const config = [
      entry("FromClaim", [], { strategy: "spread" }),
      entry("FromClaim", null, { strategy: "distributed" }),
    ];
    expect(strategy(config)).to.equal("distributed");
  });
  it("is nobody of another driver or for another request", () => {
    const config = [
      entry("FromClaim", [], { strategy: "nonsense" }, "gpu.example.com"),
      entry("FromClaim", ["other", "cpus/small"], { strategy: "nonsense" }),
    ];
    expect(strategy(config, "cpus/big")).to.equal("packed");
  });
  it("holds as a law: each field is that of the strongest layer that has it", () => {
    const layer = fc.record({
      source: fc.constantFrom("FromClass", "FromClaim"),
      requests: fc.constantFrom<string[]>([], ["r"], ["r/s"], ["q"]),
      strategy: fc.constantFrom("packed", "spread", "distributed", undefined),
      l3: fc.constantFrom("prefer", "require", "any", undefined),
    });
    fc.assert(
      fc.property(fc.array(layer, { maxLength: 6 }), (layers) => {
        const config = layers.map(({ source, requests, ...fields }) =>
          entry(source, requests, JSON.parse(JSON.stringify(fields)) as object),
        );
        const strength = ({ source, requests }: (typeof layers)[number]): number =>
          (source === "FromClaim" ? 10 : 0) + (requests.length === 0 ? 0 : requests[0] === "r" ? 1 : 2);
        const last = (field: "strategy" | "l3", fallback: string): string => {
          let best = { value: fallback, at: -1 };
          for (const one of layers.filter((found) => found.requests[0] !== "q")) {
            const value = one[field];
            if (value !== undefined && strength(one) >= best.at) best = { value, at: strength(one) };
          }
          return best.value;
        };
        expect(said(config, "r/s")).to.equal(
          `strategy ${last("strategy", "packed")}, cores any, l3 ${last("l3", "prefer")}, coreType any`,
        );
      }),
    );
  });
});

describe("an exact cpuset", () => {
  it("ends what weaker layers say of choosing, and leaves isolation", () => {
    const config = [
      entry("FromClass", [], { strategy: "spread", cores: "whole", isolation: "isolated" }),
      entry("FromClaim", [], { cpuset: "2-5" }),
    ];
    expect(said(config)).to.equal("cpuset 2-5, isolated");
    expect(said([config[0], reference("FromClaim", ["cpus"], "2-3")])).to.equal("cpuset 2-3, isolated");
  });
  it("contradicts a stronger layer that chooses", () => {
    const config = [
      entry("FromClass", [], { cpuset: "2-5" }),
      entry("FromClaim", [], { strategy: "spread", isolation: "isolated" }),
    ];
    expect(said(config)).to.equal(
      "the DeviceClass's configuration (entry 1) has `cpuset` and the claim's configuration (entry 2) has strategy: `cpuset` names every CPU, so `strategy` has nothing to choose; leave one or the other out",
    );
  });
  it("in the reference driver's schema comes from the claim, once a request", () => {
    expect(said([reference("FromClass", [], "2")])).to.include("put it into the claim");
    expect(said([reference("FromClaim", [], "2"), reference("FromClaim", ["cpus"], "3")])).to.equal(
      "2 configurations with `cpuConfig` name request cpus; exactly one is wanted",
    );
    expect(said([reference("FromClaim", ["a"], "2"), reference("FromClaim", ["cpus"], "3")])).to.equal("cpuset 3");
  });
});

describe("a configuration of any JSON", () => {
  it("is a wish or a sentence, and never a crash", () => {
    const own = fc.record(
      {
        source: fc.oneof(fc.constantFrom("FromClass", "FromClaim"), fc.jsonValue()),
        requests: fc.oneof(fc.constant(["cpus"]), fc.jsonValue()),
        opaque: fc.oneof(
          fc.jsonValue(),
          fc.record({ driver: fc.constant("dra.cpu"), parameters: fc.jsonValue() }),
          fc.record({
            driver: fc.constant("dra.cpu"),
            parameters: fc.record(
              {
                apiVersion: fc.constant(HEAD.apiVersion),
                kind: fc.constant(HEAD.kind),
                cpuset: fc.constantFrom("2-5", ""),
                l3: fc.constantFrom("any", 7),
              },
              { requiredKeys: ["apiVersion", "kind"] },
            ),
          }),
        ),
      },
      { requiredKeys: [] },
    );
    const seen = { wish: 0, wrong: 0 };
    fc.assert(
      fc.property(fc.oneof(fc.array(fc.oneof(own, fc.jsonValue())), fc.jsonValue()), (config) => {
        const reading = wishOf("cpus/a", config, "dra.cpu", DEFAULT_POLICY);
        seen[reading.kind] += 1;
        if (reading.kind === "wrong") expect(reading.problems.join("; ")).to.not.equal("");
      }),
      { numRuns: 1000 },
    );
    expect(seen.wish, "both happen").to.be.above(10);
    expect(seen.wrong, "both happen").to.be.above(10);
  });
});
