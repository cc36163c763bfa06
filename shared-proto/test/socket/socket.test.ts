import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { listenPrivate, privateDirectory } from "@dracpu/shared-proto/socket/listen.ts";
import { holdLock } from "@dracpu/shared-proto/socket/lock.ts";
import { checkSocketPath } from "@dracpu/shared-proto/socket/path.ts";

const LISTEN = join(import.meta.dirname, "..", "..", "src", "socket", "listen.ts");

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

  it("of the same name and process id, as in two containers, are made at once, and each is whole", async () => {
    const path = join(dir, "both.sock");
    const servers = Array.from({ length: 8 }, () => createServer());
    const all = await Promise.all(servers.map((server) => listenPrivate(server, path)));
    expect(all.filter((one) => one.isOurs())).to.have.length(1);
    expect(readdirSync(dir).filter((name) => name.startsWith("."))).to.deep.equal([]);
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    expect(existsSync(path), "no close takes a successor's away").to.equal(true);
  });

  it("leave nothing of an earlier crash, and another's that is on its way", async () => {
    const path = join(dir, "after.sock");
    const before = new Set(readdirSync(dir));
    const fresh = (): string[] => readdirSync(dir).filter((name) => name.startsWith(".") && !before.has(name));
    const crash = (): void => {
      const script = `import { listenPrivate } from ${JSON.stringify(LISTEN)};
        import fs from "node:fs"; import { createServer } from "node:net"; import { syncBuiltinESMExports } from "node:module";
        fs.chmodSync = () => process.kill(process.pid, "SIGKILL"); syncBuiltinESMExports();
        await listenPrivate(createServer(), ${JSON.stringify(path)});`;
      spawnSync(process.execPath, ["--input-type=module", "-e", script]);
    };
    const old = (name: string): void => utimesSync(join(dir, name), 0, 0);
    crash();
    const [left = ""] = fresh();
    expect(left).to.match(/^\..{7}$/);
    const earlier = ".after.sock.1";
    renameSync(join(dir, left), join(dir, earlier));
    crash();
    const [young = ""] = fresh().filter((name) => name !== earlier);
    const onItsWay = createServer();
    const waiting = `${young.slice(0, 4)}wait`;
    await new Promise<void>((resolve) => onItsWay.listen(join(dir, waiting), resolve));
    writeFileSync(join(dir, `${young.slice(0, 4)}file`), "");
    for (const name of [earlier, waiting, `${young.slice(0, 4)}file`]) old(name);
    const server = createServer();
    await listenPrivate(server, path);
    expect(fresh().toSorted()).to.deep.equal([young, waiting, `${young.slice(0, 4)}file`].toSorted());
    old(young);
    const next = createServer();
    await listenPrivate(next, path);
    expect(fresh()).not.to.include(young);
    for (const one of [server, next, onItsWay]) await new Promise((resolve) => one.close(resolve));
  });

  it("may be as long as their own name allows, and say so by that name", async () => {
    const deep = join(dir, "d".repeat(107 - Buffer.byteLength(dir) - "//lock.sock".length));
    mkdirSync(deep);
    const server = createServer();
    await listenPrivate(server, join(deep, "lock.sock"));
    await new Promise((resolve) => server.close(resolve));
    const fails = async (name: string): Promise<string> =>
      listenPrivate(createServer(), join(deep, name), 0o600, "--state-dir").then(
        () => "",
        (cause: Error) => cause.message,
      );
    expect(await fails("locks.sock")).to.include(`${deep}/locks.sock: it has 108 bytes, at most 107 are possible`);
    const deeper = join(dir, "e".repeat(107 - Buffer.byteLength(dir) - "//l.s".length));
    const why = await fails(join("..", deeper.slice(dir.length + 1), "l.s"));
    expect(why, "its hidden name is longer").to.include("l.s: it has 107 bytes, at most 102 are possible");
    expect(why).to.include("(--state-dir)");
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
