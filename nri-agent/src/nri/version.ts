/** What a session can do, by the runtime's NRI version. */
export interface NriAbilities {
  /** Container.CDI_devices is filled (0.10). */
  readonly cdiVisible: boolean;
  /** Unsolicited UpdateContainers do not deadlock the runtime (0.12.1, containerd/nri pull request 301). */
  readonly canUpdate: boolean;
}

/** First containerd release with each NRI version, newest first (go.mod at its tags). Versions before the last row have 0.8 or older. */
const CONTAINERD: readonly (readonly [string, string])[] = [
  ["2.4.0", "0.12.1"],
  ["2.3.0", "0.12.0"],
  ["2.2.1", "0.11.0"],
  ["2.2.0", "0.10.0"],
  ["0.0.0", "0.8.0"],
];

/**
 * Abilities by the version the runtime told, else by what its release is known to contain. Unknown means none: an ability wrongly
 * assumed can deadlock the runtime for good.
 */
export function nriAbilities(runtime: { name: string; version: string; nriVersion: string | undefined }): NriAbilities {
  const version = parse(runtime.nriVersion ?? "") ?? inferred(runtime.name, runtime.version);
  if (version === undefined) return { cdiVisible: false, canUpdate: false };
  return { cdiVisible: !isBefore(version, [0, 10, 0]), canUpdate: !isBefore(version, [0, 12, 1]) };
}

function inferred(name: string, version: string): Version | undefined {
  const release = parse(version);
  if (name !== "containerd" || release === undefined) return undefined;
  for (const [from, nri] of CONTAINERD) {
    const first = parse(from);
    if (first !== undefined && !isBefore(release, first)) return parse(nri);
  }
  return undefined;
}

type Version = readonly [number, number, number];

function parse(text: string): Version | undefined {
  const m = /^v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})/.exec(text.trim());
  return m === null ? undefined : [Number(m[1]), Number(m[2]), Number(m[3])];
}

function isBefore(a: Version, b: Version): boolean {
  for (const n of [0, 1, 2] as const) if (a[n] !== b[n]) return a[n] < b[n];
  return false;
}
