export type CgroupPath =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "bad"; readonly why: string };

const SEGMENT = /^[A-Za-z0-9_@:.\-\\]{1,255}$/;

/**
 * The cgroup of a container below the cgroup root, from NRI's `linux.cgroups_path` (which a runtime fills from the CRI's
 * cgroup parent; a pod can influence none of it, but nothing is trusted).
 *
 * - cgroupfs driver: `<parent>/<id>`
 * - systemd driver: `<slice>:<prefix>:<name>`, the unit `<prefix>-<name>.scope` in the slice's directory, where
 *   `a-b.slice` lies in `a.slice` (systemd.slice(5))
 */
export function cgroupPath(cgroupsPath: string): CgroupPath {
  if (cgroupsPath === "") return { kind: "bad", why: "the runtime gives no cgroups path" };
  if (cgroupsPath.length > 1024) return { kind: "bad", why: "the cgroups path is longer than 1,024 characters" };
  const systemd = cgroupsPath.split(":");
  if (systemd.length === 3 && (systemd[0] ?? "").endsWith(".slice")) return systemdPath(systemd);
  return contained(cgroupsPath);
}

function systemdPath([slice = "", prefix = "", name = ""]: readonly string[]): CgroupPath {
  const stem = slice.slice(0, -".slice".length);
  const dirs: string[] = [];
  if (stem !== "-") {
    const parts = stem.split("-");
    for (let n = 1; n <= parts.length; n++) dirs.push(`${parts.slice(0, n).join("-")}.slice`);
  }
  const unit = name.endsWith(".slice") ? name : `${prefix === "" ? "" : `${prefix}-`}${name}.scope`;
  return contained(`/${[...dirs, unit].join("/")}`);
}

function contained(path: string): CgroupPath {
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.length === 0) return { kind: "bad", why: "the cgroups path is the cgroup root" };
  for (const part of parts) {
    if (part === "." || part === ".." || !SEGMENT.test(part)) {
      return { kind: "bad", why: `the cgroups path has the part ${JSON.stringify(part.slice(0, 60))}` };
    }
  }
  return { kind: "path", path: `/${parts.join("/")}` };
}
