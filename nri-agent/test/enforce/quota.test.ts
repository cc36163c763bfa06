import { create } from "@bufbuild/protobuf";
import { ContainerSchema } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { expect } from "chai";
import { noQuota } from "../../src/enforce/replies.ts";

describe("the CFS quota of a claim's container", () => {
  const of = (value: bigint): bigint =>
    noQuota(create(ContainerSchema, { linux: { resources: { cpu: { quota: { value } } } } })).value;

  it("is none in a container that is made, by the number that every runtime takes for it", () => {
    expect(noQuota().value).to.equal(0n);
  });

  it("is taken away in one that runs with one, and else left as it is", () => {
    expect([of(50_000n), of(0n), of(-1n)]).to.deep.equal([-1n, 0n, 0n]);
    expect(noQuota(create(ContainerSchema)).value).to.equal(0n);
  });
});
