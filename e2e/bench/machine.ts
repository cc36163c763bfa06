import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeWhole } from "@dracpu/shared-proto/disk/whole.ts";
import type { Figures } from "./figures.ts";

const ROUNDS = 500;
/** Of a hook's request and its answer, as the bench of the hooks sends them. */
const REQUEST_BYTES = 2500;
const ANSWER_BYTES = 150;

/**
 * What this machine gives to anybody: a file written durably as both programs write theirs, and the same bytes as a hook's between two processes
 * that do nothing with them. No figure of the programs is better than these.
 */
export async function benchMachine(figures: Figures): Promise<void> {
  figures.title("this machine alone, without the programs");
  const dir = mkdtempSync(join(tmpdir(), "bm-"));
  try {
    const content = "x".repeat(4096);
    const writes: number[] = [];
    for (let n = 0; n < ROUNDS; n++) writes.push(await timed(() => writeWhole(join(dir, "file"), content)));
    figures.times("a file of 4 KB, written durably", writes);
    figures.times("a hook's bytes to another process and back", await echoes(join(dir, "echo.sock")));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function echoes(path: string): Promise<number[]> {
  const server = createServer().listen(path);
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const other = spawn(process.execPath, [import.meta.filename, path], { stdio: "inherit" });
  const socket = await accepted;
  try {
    let got = 0;
    let whole = (): void => {};
    socket.on("data", (bytes: Buffer) => {
      got += bytes.length;
      if (got === ANSWER_BYTES) whole();
    });
    const request = Buffer.alloc(REQUEST_BYTES);
    const round = (): Promise<void> =>
      new Promise((resolve) => {
        got = 0;
        whole = resolve;
        socket.write(request);
      });
    const took: number[] = [];
    for (let n = 0; n < 2 * ROUNDS; n++) took.push(await timed(round));
    // Without those in which nothing is compiled yet.
    return took.slice(ROUNDS);
  } finally {
    socket.destroy();
    other.kill();
    server.close();
  }
}

/** The other process. */
function answer(path: string): void {
  const socket = connect(path);
  let got = 0;
  socket.on("data", (bytes) => {
    got += bytes.length;
    if (got < REQUEST_BYTES) return;
    got = 0;
    socket.write(Buffer.alloc(ANSWER_BYTES));
  });
  socket.on("error", () => process.exit(0));
}

const [, program = "", path] = process.argv;
if (program === import.meta.filename && path !== undefined) answer(path);
