import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { temporaryOf, writeWhole } from "@dracpu/shared-proto/disk/whole.ts";
import { ClaimProgressSchema, Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { expect } from "chai";
import { cdiFileName } from "../../src/cdi/spec.ts";
import { CdiDirectory } from "../../src/disk/cdidirectory.ts";
import type { MetadataDirectory } from "../../src/disk/metadatadirectory.ts";
import { toAllocation, type Entry } from "../../src/ledger/ledger.ts";
import type { AgentLink } from "../../src/prepare/agentlink.ts";
import { fulfil } from "../../src/prepare/fulfil.ts";
import { ENTRY } from "../prepare/entry.ts";

const WAIT_MS = 1000;

describe("a CDI directory that hangs", () => {
  let dir = "";
  let path = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "hang-"));
    path = join(dir, "cdi");
    mkdirSync(path);
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const of = (uid: string): Entry => ({ ...ENTRY, phase: "preparing", claim: { ...ENTRY.claim, uid } });
  const answer = (work: Promise<void>): Promise<string> =>
    work.then(
      () => "done",
      (cause: unknown) => (cause as Error).message,
    );
  const files = (): string[] => readdirSync(path).filter((name) => name.startsWith("dra.k8s.io"));

  it("fails a Prepare in a sentence, with claim, directory and time, and takes nothing from the checkpoint", async () => {
    const uids = ["u1", "u2", "u3", "u4", "u5"];
    const pipes = uids.map((uid) => temporaryOf(join(path, cdiFileName(uid))));
    // Opened for writing, a pipe hangs until somebody reads it.
    execFileSync("mkfifo", pipes);
    const cdi = new CdiDirectory(path, undefined, WAIT_MS);
    const enforced = create(ClaimProgressSchema, { claimUid: "u", progress: Progress.ENFORCED });
    const link: Pick<AgentLink, "progress"> = { progress: () => Promise.resolve(enforced) };
    const never = new AbortController().signal;
    try {
      const said = await Promise.all(
        uids.map((uid) => answer(fulfil({ cdi, link: link as AgentLink }, `claim d/${uid}`, of(uid), never))),
      );
      for (const [n, uid] of uids.entries())
        expect(said[n]).to.equal(
          `Cannot prepare claim d/${uid}: Cannot write ${join(path, cdiFileName(uid))}: it is not done after 1 s; the file system of ${path} hangs`,
        );
      const checkpoint = answer(writeWhole(join(dir, "checkpoint"), "x"));
      const late = new Promise((resolve) => setTimeout(() => resolve("it hangs, too"), 4000));
      expect(await Promise.race([checkpoint, late])).to.equal("done");
    } finally {
      for (const pipe of pipes) closeSync(openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK));
    }
  });

  it("that goes on late leaves no file of a claim that was released meanwhile, and the next write is whole", async () => {
    const { promise, resolve: goOn } = Promise.withResolvers<void>();
    const hanging: Pick<MetadataDirectory, "root" | "write" | "remove" | "list"> = {
      root: join(dir, "m"),
      write: () => promise,
      remove: () => Promise.resolve(),
      list: () => Promise.resolve(new Set()),
    };
    const cdi = new CdiDirectory(path, hanging as MetadataDirectory, WAIT_MS);
    const write = (uid: string): Promise<string> => answer(cdi.write(toAllocation(of(uid))));
    expect(await write("u1")).to.include(`the file system of ${path} or of ${hanging.root} hangs`);
    expect(await write("u1"), "the kubelet's next call").to.include("hangs");
    expect(await answer(cdi.remove("u1")), "an Unprepare, which is tried again").to.match(/^Cannot remove .* hangs$/);
    const removed = cdi.remove("u1");
    const others = Promise.all([write("u2"), cdi.named().then((uids) => uids.join())]);
    goOn();
    await removed;
    expect(await others).to.deep.equal(["done", ""]);
    expect(files()).to.deep.equal([cdiFileName("u2")]);
    expect(await write("u1")).to.equal("done");
    expect(await answer(cdi.remove("u1"))).to.equal("done");
    expect(files()).to.deep.equal([cdiFileName("u2")]);
  });
});
