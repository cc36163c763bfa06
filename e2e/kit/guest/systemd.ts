import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { cached, debian, makeDisk, programs, run } from "./image.ts";

const HERE = import.meta.dirname;
const SUITE = "trixie";
/** crun does what runc does; the version of Debian is one that many nodes have. */
const WANTED = "systemd,systemd-sysv,dbus,libstdc++6,iproute2,crun";
const UNIT = `[Unit]
After=dbus.socket
[Service]
ExecStart=/sbin/job
ExecStopPost=/bin/systemctl poweroff -ff
Delegate=yes
[Install]
WantedBy=multi-user.target
`;
/** A guest of seconds needs none of them. */
const MASKED = [
  "systemd-journal-flush.service",
  "systemd-tmpfiles-setup.service",
  "getty.target",
  "apt-daily.timer",
  "dpkg-db-backup.timer",
];

/** A root disk with Debian's systemd as the first process, and D-Bus, by which runc asks it for cgroups; programs as on the other one. */
export function systemdDisk(): string {
  const binaries = programs();
  const key = createHash("sha256")
    .update([...binaries, UNIT, ...MASKED, WANTED].join("\n"))
    .update(readFileSync(join(HERE, "job.sh")))
    .digest("hex")
    .slice(0, 16);
  return join(
    cached(`guest-systemd-${key}`, (out) => {
      const root = join(out, "root");
      const { uri, keyring } = debian();
      run("mmdebstrap", [
        ...["--quiet", "--variant=minbase", `--include=${WANTED}`, SUITE, root],
        `deb [signed-by=${keyring}] ${uri} ${SUITE} main`,
      ]);
      for (const file of binaries) {
        copyFileSync(file, join(root, "usr/bin", basename(file)));
        chmodSync(join(root, "usr/bin", basename(file)), 0o755);
      }
      for (const dir of ["job", "etc/containerd", "etc/cni/net.d"]) mkdirSync(join(root, dir), { recursive: true });
      // The runtime reads both.
      writeFileSync(join(root, "etc/resolv.conf"), "");
      writeFileSync(join(root, "etc/hosts"), "127.0.0.1 localhost guest\n");
      const units = join(root, "etc/systemd/system");
      writeFileSync(join(units, "job.service"), UNIT);
      mkdirSync(join(units, "multi-user.target.wants"), { recursive: true });
      symlinkSync("../job.service", join(units, "multi-user.target.wants/job.service"));
      for (const unit of MASKED) {
        rmSync(join(units, unit), { force: true });
        symlinkSync("/dev/null", join(units, unit));
      }
      copyFileSync(join(HERE, "job.sh"), join(root, "usr/sbin/job"));
      chmodSync(join(root, "usr/sbin/job"), 0o755);
      makeDisk(root, join(out, "root.ext4"), 600);
      rmSync(root, { recursive: true });
    }),
    "root.ext4",
  );
}
