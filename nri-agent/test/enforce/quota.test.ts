import { create } from "@bufbuild/protobuf";
import { ContainerSchema } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { expect } from "chai";
import { noQuota } from "../../src/enforce/replies.ts";

describe("the CFS quota of a claim's container", () => {
  const of = (cgroupsPath: string, value: bigint): bigint =>
    noQuota(create(ContainerSchema, { linux: { cgroupsPath, resources: { cpu: { quota: { value } } } } })).value;

  it("is none in a container that is made, by the number that every runtime takes for it", () => {
    expect(noQuota().value).to.equal(0n);
  });

  it("is taken away with every update", () => {
    for (const value of [50_000n, 0n, -1n]) expect(of("/kubepods/podu/x", value), String(value)).to.equal(-1n);
    expect(noQuota(create(ContainerSchema)).value).to.equal(-1n);
  });

  it("is left as it is in a scope of systemd that has none, where crun would make 1 % of -1", () => {
    const scope = "kubepods-podu.slice:cri-containerd:x";
    expect([of(scope, 50_000n), of(scope, 0n), of(scope, -1n)]).to.deep.equal([-1n, 0n, 0n]);
    expect(noQuota(create(ContainerSchema, { linux: { cgroupsPath: scope } })).value).to.equal(0n);
  });
});
