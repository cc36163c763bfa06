import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { FakeWorld } from "../bench/fakeworld.ts";
import { allocatedClaim } from "../kit/driver.ts";
import { container, pod } from "../kit/enforcer.ts";
import { until } from "../kit/node/processes.ts";
import { Seam, type Call } from "../kit/seam/seam.ts";
import { bundles } from "./programs.ts";

/** What the kernel was asked, by the names of the library's calls. */
const NAMES: Readonly<Record<string, string>> = {
  ...{ rename: "rename", renameat: "rename", renameat2: "rename", unlink: "unlink", unlinkat: "unlink" },
  ...{ mkdir: "mkdir", mkdirat: "mkdir", rmdir: "rmdir", chmod: "chmod", fchmod: "chmod", fchmodat: "chmod" },
  ...{ fsync: "fsync", fdatasync: "fsync", truncate: "truncate", ftruncate: "truncate", link: "link", linkat: "link" },
  ...{ symlink: "symlink", symlinkat: "symlink", bind: "bind", listen: "listen", connect: "connect" },
  ...{ open: "open", openat: "open", creat: "open", shutdown: "shutdown", write: "write", writev: "write" },
  ...{ pwrite64: "write", pwritev: "write", pwritev2: "write", sendto: "write", sendmsg: "write", sendmmsg: "write" },
  ...{
    sendfile: "write",
    splice: "write",
    copy_file_range: "write",
    fallocate: "truncate",
    mknod: "open",
    mknodat: "open",
  },
  ...{ setxattr: "chmod", fsetxattr: "chmod", chown: "chmod", fchown: "chmod", lchown: "chmod", utimensat: "chmod" },
};
const TRACED = Object.keys(NAMES).join(",");

// The instants at which programs are killed are those that the seam sees: here it has to see all that strace does.
describe("the seam of the fault tests", function () {
  this.timeout(120_000);
  const dir = mkdtempSync(join(tmpdir(), "tr-"));
  after(() => rmSync(dir, { recursive: true }));

  it("sees every call by which the programs change something, as the kernel does", async () => {
    const programs = await bundles();
    const seams = { driver: new Seam(join(dir, "driver")), agent: new Seam(join(dir, "agent")) };
    const strace = (which: "driver" | "agent"): string[] => [
      ...[
        "strace",
        "-D",
        "-f",
        "-y",
        "-o",
        join(dir, `${which}.strace`),
        "-e",
        `trace=?${TRACED.replaceAll(",", ",?")}`,
      ],
      process.execPath,
      programs[which],
    ];
    const world = new FakeWorld(
      { driver: strace("driver"), agent: strace("agent") },
      { driver: seams.driver.env(), agent: seams.agent.env() },
    );
    try {
      await world.listen();
      for (const seam of Object.values(seams)) seam.arm();
      const plugin = world.runtime.plugin();
      world.agent.start();
      world.driver.start();
      await plugin;
      const shared = container("p", "s");
      world.cgroups.add([shared]);
      await world.runtime.synchronize([pod("p")], [shared]);
      await world.agent.synchronized();
      await world.kubelet.register();
      await until("a slice is published", () => world.api.slices.size > 0);
      const { claim, ref } = allocatedClaim("a", 2);
      world.api.claims.set("default/a", claim);
      expect((await world.kubelet.prepare(ref)).error).to.equal("");
      expect(await world.kubelet.unprepare(ref)).to.equal("");
    } finally {
      await world.end();
    }
    for (const which of ["driver", "agent"] as const) {
      const calls = seams[which].calls();
      console.log(`      ${which}: ${calls.length} calls: ${text(tally(calls.map((one) => one.name)))}`);
      expect(tally(calls.map((one: Call) => one.name)), which).to.deep.equal(
        tally(asKernel(join(dir, `${which}.strace`))),
      );
      expect(calls.length).to.be.above(50);
    }
  });
});

/** Calls that change something that another process can see: not log lines, not a process's own wake-ups. */
function asKernel(file: string): string[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line) => {
      const found = /^\d+ +([a-z0-9_]+)\((.*)/.exec(line);
      const name = NAMES[found?.[1] ?? ""];
      const args = found?.[2] ?? "";
      if (name === undefined) return [];
      if (name === "open") return /O_CREAT|O_TRUNC/.test(args) ? [name] : [];
      // On what is open: not a program's own log, nor what it wakes itself with.
      const target = /^(\d+)<([^>]*)/.exec(args);
      const isOwn =
        target !== null && (Number(target[1]) <= 2 || !/^(socket:|\/(?!dev\/(?!shm\/)))/.test(target[2] ?? ""));
      return isOwn ? [] : [name];
    });
}

function tally(names: readonly string[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const name of [...names].sort()) found[name] = (found[name] ?? 0) + 1;
  return found;
}

function text(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([name, n]) => `${n} ${name}`)
    .join(", ");
}
