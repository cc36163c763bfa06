import { expect } from "chai";
import fc from "fast-check";
import { cgroupPath } from "../../src/masks/cgrouppath.ts";
import { nextPhase } from "../../src/masks/container.ts";

describe("a container's cgroup", () => {
  for (const [text, path] of [
    ["/kubepods/besteffort/pod1/abc", "/kubepods/besteffort/pod1/abc"],
    ["kubepods/pod1/abc", "/kubepods/pod1/abc"],
    [
      "kubepods-besteffort-pod1_2.slice:cri-containerd:abc",
      "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-abc.scope",
    ],
    ["-.slice:cri-containerd:abc", "/cri-containerd-abc.scope"],
  ] as const) {
    it(`${text} is ${path}`, () => expect(cgroupPath(text)).to.deep.equal({ kind: "path", path }));
  }
  for (const text of [
    "",
    "/",
    "/kubepods/../../etc",
    "/kubepods/./x",
    "/a/b c",
    "/kubepods/\0",
    `/${"a".repeat(2000)}`,
    "x.slice:../..:y",
  ]) {
    it(`${JSON.stringify(text.slice(0, 30))} is refused`, () => expect(cgroupPath(text).kind).to.equal("bad"));
  }
  it("never leaves the cgroup root", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("/", ".", "a", "-", ":", "..", ".slice") }), (text) => {
        const found = cgroupPath(text);
        if (found.kind === "path")
          expect(found.path.split("/")).not.to.include.members([".."]).and.not.to.include.members(["."]);
      }),
    );
  });
});

describe("a container's phases", () => {
  for (const [from, event, to] of [
    ["created", "start", "starting"],
    ["starting", "post-start", "running"],
    ["created", "post-start", "running"],
    ["running", "start", "running"],
    ["running", "remove", "stopped"],
    ["created", "unlisted", "stopped"],
    ["stopped", "start", "stopped"],
    ["stopped", "post-start", "stopped"],
  ] as const) {
    it(`${from}, ${event}: ${to}`, () => expect(nextPhase(from, event)).to.equal(to));
  }
});
