import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { listenPrivate, privateDirectory } from "@dracpu/shared-proto/socket/listen.ts";
import { holdLock } from "@dracpu/shared-proto/socket/lock.ts";
import { checkSocketPath } from "@dracpu/shared-proto/socket/path.ts";

describe("Unix sockets", () => {
  const dir = mkdtempSync(join(tmpdir(), "sock-"));
  after(() => rmSync(dir, { recursive: true }));

  it("have a path of at most 107 bytes, and a sentence beyond", () => {
    checkSocketPath(`/${"a".repeat(106)}`);
    expect(() => checkSocketPath(`/${"a".repeat(107)}`)).to.throw(Error, "it has 108 bytes, at most 107");
    expect(() => checkSocketPath(`/${"ä".repeat(60)}`)).to.throw(Error, "121 bytes");
  });

  it("replace a stale file, are for their owner alone, and outlive an older server's end", async () => {
    const path = join(dir, "s.sock");
    writeFileSync(path, "");
    const [old, young] = [createServer(), createServer((socket) => socket.end("young"))];
    const first = await listenPrivate(old, path);
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    await listenPrivate(young, path);
    first.unlink();
    await new Promise((resolve) => old.close(resolve));
    const text = await new Promise<string>((resolve, reject) => {
      connect({ path })
        .on("data", (chunk: Buffer) => resolve(chunk.toString()))
        .on("error", reject);
    });
    expect(text).to.equal("young");
    await new Promise((resolve) => young.close(resolve));
  });

  it("lie in a directory that is ours", () => {
    privateDirectory(join(dir, "own"));
    expect(statSync(join(dir, "own")).mode & 0o777).to.equal(0o700);
    mkdirSync(join(dir, "real"));
    symlinkSync(join(dir, "real"), join(dir, "link"));
    expect(() => privateDirectory(join(dir, "link"))).to.throw(Error, "it is no directory");
    chmodSync(join(dir, "real"), 0o700);
  });
});

describe("one instance", () => {
  it("holds the lock; a second waits, says for whom, and follows when the first lets go", async () => {
    const dir = mkdtempSync(join(tmpdir(), "lock-"));
    const never = new AbortController().signal;
    try {
      const unlock = await holdLock(dir, "first, pid 1", () => {}, never);
      const waits: string[] = [];
      const second = holdLock(dir, "second, pid 2", (holder) => waits.push(holder), never);
      await new Promise((resolve) => setTimeout(resolve, 400));
      expect(waits).to.deep.equal(["first, pid 1"]);
      unlock?.();
      const unlockSecond = await second;
      expect(unlockSecond).to.be.a("function");
      unlockSecond?.();
      expect(existsSync(join(dir, "lock.sock"))).to.equal(false);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
  it("keeps the lock, and lives, when somebody asks and is gone before the answer was read", async () => {
    const dir = mkdtempSync(join(tmpdir(), "lock-"));
    const unlock = await holdLock(dir, "first", () => {}, new AbortController().signal);
    const resets: string[] = [];
    for (let n = 0; n < 20; n++) {
      const socket = connect({ path: join(dir, "lock.sock") });
      socket.on("error", (cause: NodeJS.ErrnoException) => resets.push(cause.code ?? ""));
      socket.pause();
      await new Promise((resolve) => setTimeout(resolve, 5));
      socket.destroy();
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(resets).to.deep.equal([]);
    const controller = new AbortController();
    const holders: string[] = [];
    await holdLock(
      dir,
      "second",
      (holder) => {
        holders.push(holder);
        controller.abort();
      },
      controller.signal,
    );
    expect(holders).to.deep.equal(["first"]);
    unlock?.();
    rmSync(dir, { recursive: true });
  });
  it("gives up waiting when it is told to", async () => {
    const dir = mkdtempSync(join(tmpdir(), "lock-"));
    const controller = new AbortController();
    const unlock = await holdLock(dir, "first", () => {}, controller.signal);
    const second = holdLock(dir, "second", () => controller.abort(), controller.signal);
    expect(await second).to.equal(undefined);
    unlock?.();
    rmSync(dir, { recursive: true });
  });
});
