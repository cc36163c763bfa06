import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ContainerSchema, PodSandboxSchema, SynchronizeRequestSchema } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { expect } from "chai";
import type { RuntimeHooks } from "../../src/enforce/hooks.ts";
import { Dispatch } from "../../src/runtime/dispatch.ts";
import { readSynchronizePart, withoutOtherEnvironment } from "../../src/runtime/synchronizepart.ts";

describe("a part of a Synchronize", () => {
  const request = {
    pods: [{ id: "p0", name: "zero" }, { id: "p1" }],
    containers: [{ id: "c0", podSandboxId: "p0", env: ["A=1"] }, { id: "c1" }, { id: "c2" }],
  };
  const bytes = (more = false): Uint8Array =>
    toBinary(SynchronizeRequestSchema, create(SynchronizeRequestSchema, { ...request, more }));

  it("has its pods and containers, each as it was sent", () => {
    const part = readSynchronizePart(bytes());
    expect(part.pods.map((one) => fromBinary(PodSandboxSchema, one).id)).to.deep.equal(["p0", "p1"]);
    const containers = part.containers.map((one) => fromBinary(ContainerSchema, one));
    expect(containers.map(({ id, podSandboxId }) => [id, podSandboxId])).to.deep.equal([
      ["c0", "p0"],
      ["c1", ""],
      ["c2", ""],
    ]);
    expect(containers[0]?.env).to.deep.equal(["A=1"]);
  });

  it("tells whether another one follows", () => {
    expect([readSynchronizePart(bytes(true)).more, readSynchronizePart(bytes(false)).more]).to.deep.equal([
      true,
      false,
    ]);
    expect(readSynchronizePart(new Uint8Array())).to.deep.equal({ pods: [], containers: [], more: false });
  });

  it("is read past fields of a later NRI, and past known ones of another type", () => {
    // Field 15 as bytes, field 1 as a varint.
    const later = Uint8Array.of(0x7a, 1, 0xff, 0x08, 7);
    const part = readSynchronizePart(Uint8Array.of(...later, ...bytes(true), ...later));
    expect([part.pods.length, part.containers.length, part.more]).to.deep.equal([2, 3, true]);
  });

  it("is refused where it was cut, wherever that leaves half a member", () => {
    const whole = bytes();
    const read = Array.from({ length: whole.length }, (_, end) => {
      try {
        return readSynchronizePart(whole.subarray(0, end)).containers.length;
      } catch {
        return "refused";
      }
    });
    expect(read[whole.length - 1]).to.equal("refused");
    // Nothing of a member that is not whole is taken.
    expect(read.filter((one) => one === "refused").length).to.be.greaterThan(whole.length / 2);
  });

  it("is gone through without the members that cannot be read, of which the first is told", async () => {
    const seen: string[] = [];
    const said: string[] = [];
    const hooks: Pick<RuntimeHooks, "synchronize"> = {
      synchronize: (pods, containers) => {
        for (const { id } of [...pods, ...containers]) seen.push(id);
        return Promise.resolve([]);
      },
    };
    const dispatch = new Dispatch({
      hooks: hooks as RuntimeHooks,
      onConfigure: () => {},
      onSynchronize: (phase) => said.push(phase),
      onDefect: () => said.push("a defect"),
      onUnreadable: (cause) => said.push((cause as Error).message),
      onHook: () => {},
      monotonic: () => 0,
    });
    const member = (field: number): number[] => [(field << 3) | 2, 2, 0x0a, 9];
    const payload = Uint8Array.of(...member(1), ...member(2), ...bytes(), ...member(2));
    await dispatch.serve("nri.pkg.api.v1alpha1.Plugin", "Synchronize", payload);
    expect(seen).to.deep.equal(["p0", "p1", "c0", "c1", "c2"]);
    expect(said).to.have.lengthOf(3);
    expect(
      said.filter((one) => one.startsWith("dra.cpu: a PodSandbox of Synchronize cannot be read in its 2 bytes: ")),
    ).to.have.lengthOf(1);
  });

  it("leaves out the environment that says nothing of claims, and nothing else", () => {
    const ours = ["DRA_CPUSET_a=1", "DRA_CPUSET_a="];
    const container = (env: string[]): ReturnType<typeof create<typeof ContainerSchema>> =>
      create(ContainerSchema, { id: "c", name: "n", env, mounts: [{ destination: "/x" }], annotations: { a: "b" } });
    const without = (env: string[]): unknown =>
      fromBinary(
        ContainerSchema,
        withoutOtherEnvironment(toBinary(ContainerSchema, container(env)), [new TextEncoder().encode("DRA_CPUSET_")]),
      );
    const others = ["", "A=1", "DRA_CPU", "xDRA_CPUSET_a=1", "é=ü"];
    for (const env of [
      [],
      ours,
      others,
      [...others, ...ours],
      [...ours, ...others],
      [others[1] ?? "", ...ours, ...others],
    ])
      expect(without(env)).to.deep.equal(container(env.filter((one) => ours.includes(one))));
    expect(() => withoutOtherEnvironment(Uint8Array.of(0x42, 9, 1), [])).to.throw();
  });
});
