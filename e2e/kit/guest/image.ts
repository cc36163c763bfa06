import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { binary } from "../../build/build.ts";
import { cacheDir } from "../../build/cache.ts";

const HERE = import.meta.dirname;
const BUSYBOX = "/bin/busybox";

export type Kernel = "6.12" | "6.1";

/** Debian suites whose cloud kernel has that version. */
const SUITES: Readonly<Record<Kernel, string>> = { "6.12": "trixie", "6.1": "bookworm" };
const MODULES = [
  "virtio_pci",
  "virtio_blk",
  "virtio_console",
  "overlay",
  "crc32c-intel",
  "virtio_net",
  "veth",
  "bridge",
];

export function run(program: string, args: readonly string[], cwd?: string): string {
  return execFileSync(program, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/** Makes something in the cache, whole or not at all. */
export function cached(name: string, make: (dir: string) => void): string {
  const target = join(cacheDir(), name);
  if (existsSync(target)) return target;
  mkdirSync(cacheDir(), { recursive: true });
  const temporary = mkdtempSync(join(cacheDir(), ".guest-"));
  try {
    make(temporary);
    renameSync(temporary, target);
  } catch (cause) {
    rmSync(temporary, { recursive: true, force: true });
    throw cause;
  }
  return target;
}

/** Kernel and initial ramdisk, from Debian's cloud kernel package. Nothing of this machine's package system is touched. */
export function kernelFiles(kernel: Kernel): { vmlinuz: string; initrd: string } {
  const dir = cached(`guest-kernel-${kernel}-v2`, (out) => {
    const work = mkdtempSync(join(tmpdir(), "gk-"));
    try {
      const deb = download(SUITES[kernel], work);
      run("dpkg", ["-x", deb, join(work, "k")]);
      const boot = join(work, "k", "boot");
      const image = readdirSync(boot).find((name) => name.startsWith("vmlinuz-")) ?? "";
      copyFileSync(join(boot, image), join(out, "vmlinuz"));
      const libs =
        ["lib", "usr/lib"].map((lib) => join(work, "k", lib, "modules")).find((path) => existsSync(path)) ?? "";
      initrd(join(libs, image.slice("vmlinuz-".length)), join(out, "initrd.img"), work);
      writeFileSync(join(out, "version"), `${image.slice("vmlinuz-".length)}\n`);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  });
  return { vmlinuz: join(dir, "vmlinuz"), initrd: join(dir, "initrd.img") };
}

/** Where this machine has Debian from, whose key is in `keyring`. */
export function debian(): { uri: string; security: string | undefined; keyring: string } {
  const sources = readFileSync("/etc/apt/sources.list.d/debian.sources", "utf8");
  const [uri = "", security] = [...sources.matchAll(/^URIs:\s*(\S+)$/gm)].map((m) => m[1]);
  return { uri, security, keyring: "/usr/share/keyrings/debian-archive-keyring.gpg" };
}

/** Downloads the suite's cloud kernel with an apt state of its own. */
function download(suite: string, work: string): string {
  const { uri, security, keyring } = debian();
  const lines = [`deb [signed-by=${keyring}] ${uri} ${suite} main`];
  if (suite === "bookworm" && security !== undefined)
    lines.push(`deb [signed-by=${keyring}] ${security} ${suite}-security main`);
  mkdirSync(join(work, "lists", "partial"), { recursive: true });
  mkdirSync(join(work, "cache", "archives", "partial"), { recursive: true });
  writeFileSync(join(work, "status"), "");
  writeFileSync(join(work, "sources.list"), `${lines.join("\n")}\n`);
  const apt = [
    `Dir::Etc::sourcelist=${work}/sources.list`,
    "Dir::Etc::sourceparts=/dev/null",
    "Dir::Etc::preferencesparts=/dev/null",
    `Dir::State::lists=${work}/lists`,
    `Dir::Cache=${work}/cache`,
    `Dir::State::status=${work}/status`,
    "APT::Sandbox::User=root",
  ].flatMap((option) => ["-o", option]);
  run("apt-get", ["-qq", ...apt, "update"]);
  const depends = run("apt-cache", [...apt, "depends", "linux-image-cloud-amd64"]);
  const name = /Depends: (\S+)/.exec(depends)?.[1] ?? "";
  run("apt-get", ["-qq", ...apt, "download", name], work);
  const deb = readdirSync(work).find((file) => file.endsWith(".deb"));
  if (deb === undefined) throw new Error(`no kernel package of ${suite} came`);
  return join(work, deb);
}

function initrd(modules: string, out: string, work: string): void {
  const root = join(work, "ird");
  for (const dir of ["bin", "proc", "sys", "dev", "mnt", "m"]) mkdirSync(join(root, dir), { recursive: true });
  copyFileSync(BUSYBOX, join(root, "bin", "busybox"));
  for (const file of run("find", [modules, "-name", "*.ko.xz"])
    .split("\n")
    .filter((line) => line !== ""))
    run("xz", ["-d", file]);
  // depmod wants lib/modules/<version> below its base.
  const base = join(work, "mods");
  mkdirSync(join(base, "lib", "modules"), { recursive: true });
  cpSync(modules, join(base, "lib", "modules", basename(modules)), { recursive: true });
  run(BUSYBOX, ["depmod", "-b", base, basename(modules)]);
  const dependencies = readFileSync(join(base, "lib", "modules", basename(modules), "modules.dep"), "utf8").split("\n");
  const order: string[] = [];
  for (const name of MODULES) {
    const line = dependencies.find((one) => new RegExp(`/${name.replace(/[-_]/g, "[-_]")}\\.ko:`).test(one));
    if (line === undefined) continue;
    const [file = "", rest = ""] = line.split(":");
    for (const path of [
      ...rest
        .trim()
        .split(" ")
        .filter((one) => one !== "")
        .reverse(),
      file,
    ]) {
      if (order.includes(basename(path))) continue;
      copyFileSync(join(base, "lib", "modules", basename(modules), path), join(root, "m", basename(path)));
      order.push(basename(path));
    }
  }
  writeFileSync(join(root, "m", "order"), `${order.join("\n")}\n`);
  copyFileSync(join(HERE, "initrd-init.sh"), join(root, "init"));
  chmodSync(join(root, "init"), 0o755);
  run("sh", ["-c", `cd '${root}' && find . | LC_ALL=C sort | cpio -o -H newc --quiet > '${out}'`]);
}

/** What every guest has beside its system. */
export function programs(): string[] {
  return [
    process.execPath,
    ...["containerd", "containerd-shim-runc-v2", "ctr"].map((name) => binary("containerd", name)),
    binary("runc", "runc"),
  ];
}

/** The guest's root disk: busybox, Node, containerd, runc, lscpu, lstopo, `more` programs and the libraries that they need, copied from this machine. */
export function rootDisk(more: readonly string[] = []): string {
  const binaries = [
    ...programs(),
    // What the topology is compared with.
    "/usr/bin/lscpu",
    "/usr/bin/lstopo-no-graphics",
    ...more,
  ];
  const key = createHash("sha256")
    .update(binaries.join("\n"))
    .update(readFileSync(join(HERE, "init.sh")))
    .update(readFileSync(join(HERE, "job.sh")))
    .digest("hex")
    .slice(0, 16);
  return join(
    cached(`guest-root-${key}`, (out) => {
      const root = join(out, "root");
      for (const dir of [
        "bin",
        "sbin",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "var/lib",
        "etc/containerd",
        "etc/cni/net.d",
        "root",
        "job",
        "out",
      ]) {
        mkdirSync(join(root, dir), { recursive: true });
      }
      symlinkSync("/run", join(root, "var/run"));
      copyFileSync(BUSYBOX, join(root, "bin/busybox"));
      for (const applet of run(BUSYBOX, ["--list"])
        .split("\n")
        .filter((line) => line !== "" && line !== "busybox"))
        symlinkSync("busybox", join(root, "bin", applet));
      for (const file of binaries) {
        copyFileSync(file, join(root, "bin", basename(file)));
        chmodSync(join(root, "bin", basename(file)), 0o755);
        for (const library of librariesOf(file)) {
          mkdirSync(join(root, dirname(library)), { recursive: true });
          if (!existsSync(join(root, library))) copyFileSync(library, join(root, library));
        }
      }
      writeFileSync(join(root, "etc/resolv.conf"), "");
      writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
      writeFileSync(join(root, "etc/group"), "root:x:0:\n");
      writeFileSync(join(root, "etc/hosts"), "127.0.0.1 localhost guest\n");
      for (const [script, at] of [
        ["init.sh", "sbin/init"],
        ["job.sh", "sbin/job"],
      ] as const) {
        copyFileSync(join(HERE, script), join(root, at));
        chmodSync(join(root, at), 0o755);
      }
      makeDisk(root, join(out, "root.ext4"), 600);
      rmSync(root, { recursive: true });
    }),
    "root.ext4",
  );
}

/** `spare`: free megabytes. */
export function makeDisk(from: string, to: string, spare: number): void {
  const used = Number(run("du", ["-sm", from]).split("\t")[0]);
  run("mke2fs", [
    "-q",
    "-t",
    "ext4",
    "-O",
    "^has_journal,^metadata_csum",
    "-E",
    "lazy_itable_init=1,nodiscard,root_owner=0:0",
    "-m",
    "0",
    "-d",
    from,
    to,
    `${Math.ceil(used * 1.15) + spare}M`,
  ]);
}

function librariesOf(file: string): string[] {
  let text: string;
  try {
    text = run("ldd", [file]);
  } catch {
    // Static.
    return [];
  }
  return [...text.matchAll(/(\/\S+\.so\S*)/g)].map((m) => m[1] ?? "");
}
