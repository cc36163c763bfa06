import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Ring } from "@dracpu/shared-proto/observe/ring.ts";

const PROGRAM = `
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createLog } from "@dracpu/shared-proto/observe/log.ts";
const log = createLog({ level: "info", program: "t" });
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const end = Date.now() + 1500;
let lines = 0;
const turn = () => {
  for (let n = 0; n < 200; n++) { log.info("x".repeat(200), { lines }); lines += 1; }
  if (Date.now() < end) setTimeout(turn, 2);
  else {
    process.stderr.write(JSON.stringify({ lines, max: delay.max / 1e6, rss: process.memoryUsage().rss / 1e6 }));
    process.exit(0);
  }
};
turn();
`;

const MAX_STALL_MS = 200;

/** The program's life with an output that nobody reads. */
async function unread(): Promise<{ lines: number; max: number; rss: number }> {
  const dir = mkdtempSync(join(tmpdir(), "fifo-"));
  execFileSync("mkfifo", [join(dir, "out")]);
  // Opened for both directions it blocks nobody; it is never read.
  const fifo = openSync(join(dir, "out"), "r+");
  const child = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM], {
    stdio: ["ignore", fifo, "pipe"],
    cwd: import.meta.dirname,
  });
  let report = "";
  child.stderr?.on("data", (chunk: Buffer) => (report += chunk.toString()));
  await new Promise((resolve) => child.on("exit", resolve));
  closeSync(fifo);
  rmSync(dir, { recursive: true });
  return JSON.parse(report.slice(report.indexOf("{"))) as { lines: number; max: number; rss: number };
}

describe("the log", () => {
  it("stops nothing and grows nothing where nobody reads it", async function () {
    this.timeout(60_000);
    let seen = await unread();
    // A stall may be the machine's; what blocks does so each time.
    for (let n = 1; n < 3 && seen.max >= MAX_STALL_MS; n++) seen = await unread();
    const { lines, max, rss } = seen;
    expect(lines).to.be.above(5000);
    expect(max, "longest stall of the event loop in ms").to.be.below(MAX_STALL_MS);
    expect(rss, "resident memory in MB").to.be.below(200);
  });

  it("writes everything to its end where somebody reads it", () => {
    const program = `
import { createLog } from "@dracpu/shared-proto/observe/log.ts";
const log = createLog({ level: "info", program: "t" });
for (let n = 0; n < 2000; n++) log.info("line", { n });
await log.flush(5000);
process.exit(0);
`;
    const dir = mkdtempSync(join(tmpdir(), "log-"));
    const out = openSync(join(dir, "out"), "w");
    execFileSync(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", out, "inherit"],
      cwd: import.meta.dirname,
    });
    closeSync(out);
    const lines = readFileSync(join(dir, "out"), "utf8").trimEnd().split("\n");
    rmSync(dir, { recursive: true });
    expect(lines.length).to.equal(2000);
    expect(JSON.parse(lines[1999] ?? "")).to.deep.include({ n: 1999, msg: "line" });
  });
});

describe("a ring", () => {
  it("numbers entries, keeps the newest, and tells a reader how far back it goes", () => {
    const ring = new Ring<string>(3);
    let heard = 0;
    const unsubscribe = ring.subscribe(() => (heard += 1));
    for (const word of ["a", "b", "c", "d", "e"]) ring.push((seq) => `${seq}${word}`);
    unsubscribe();
    ring.push((seq) => `${seq}f`);
    expect(ring.after(0n)).to.deep.equal({ events: ["4d", "5e", "6f"], oldestSeq: 4n });
    expect(ring.after(5n).events).to.deep.equal(["6f"]);
    expect(ring.after(6n).events).to.deep.equal([]);
    expect([ring.lastSeq, heard]).to.deep.equal([6n, 5]);
  });
});
