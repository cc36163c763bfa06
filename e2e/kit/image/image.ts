import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { tar } from "../../../images/tar.ts";

/** Reference of the test image; it serves as the pause image too. */
export const IMAGE = "localhost/probe:1";

const APPLETS = [
  "sh",
  "cat",
  "sleep",
  "env",
  "grep",
  "ls",
  "nproc",
  "taskset",
  "kill",
  "true",
  "false",
  "touch",
  "seq",
  "date",
];

/** Sleeps until TERM or INT. */
const PAUSE = `#!/bin/sh
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait $!; done
`;

/** Prints what the container sees first of all, then sleeps until TERM. */
const PROBE = `#!/bin/sh
grep -E '^Cpus_allowed_list' /proc/self/status
env | grep '^DRA' | sort
echo READY
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait $!; done
`;

/** Writes a docker-archive with a static busybox, /bin/sh, /pause and /probe; the same bytes for the same busybox. */
export function writeImage(path: string, busybox = "/bin/busybox"): void {
  const layer = tar([
    ...["bin", "dev", "proc", "sys", "etc", "tmp"].map((name) => ({
      name: `${name}/`,
      mode: 0o755,
      type: "5" as const,
    })),
    { name: "bin/busybox", mode: 0o755, type: "0", data: readFileSync(busybox) },
    ...APPLETS.map((name) => ({ name: `bin/${name}`, mode: 0o777, type: "2" as const, link: "busybox" })),
    { name: "etc/passwd", mode: 0o644, type: "0", data: Buffer.from("root:x:0:0:root:/:/bin/sh\n") },
    { name: "pause", mode: 0o755, type: "0", data: Buffer.from(PAUSE) },
    { name: "probe", mode: 0o755, type: "0", data: Buffer.from(PROBE) },
  ]);
  const digest = createHash("sha256").update(layer).digest("hex");
  const config = JSON.stringify({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: { Env: ["PATH=/bin"], Entrypoint: ["/pause"], WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] },
    history: [{ created: "1970-01-01T00:00:00Z", created_by: "probe" }],
  });
  const manifest = JSON.stringify([{ Config: "config.json", RepoTags: [IMAGE], Layers: ["layer.tar"] }]);
  writeFileSync(
    path,
    tar([
      { name: "manifest.json", mode: 0o644, type: "0", data: Buffer.from(manifest) },
      { name: "config.json", mode: 0o644, type: "0", data: Buffer.from(config) },
      { name: "layer.tar", mode: 0o644, type: "0", data: layer },
    ]),
  );
}
