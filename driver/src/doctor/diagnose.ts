import type { Code } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CpuListError, CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Entry } from "../ledger/ledger.ts";
import type { FindingView } from "../picture/picture.ts";
import { isSeen, type Check, type Facts, type Seen, type Verdict } from "./facts.ts";

/** Below this much, or this part, of free space a checkpoint may soon not fit. */
const MIN_FREE_BYTES = 64 << 20;
const MIN_FREE_PART = 0.02;

/** Every comparison there is, each with its verdict; what the programs themselves have to say comes first. */
export function diagnose(facts: Facts): Check[] {
  const { picture } = facts;
  const checks: Check[] = [];
  if (picture !== undefined) {
    checks.push(...picture.findings.map(told));
    if (picture.findings.length === 0)
      checks.push(fine("claims and containers", "driver, agent and kernel agree about every claim and container"));
    if (!picture.agent.safeToRestart)
      checks.push(check("restart", "warning", CODES.restartStalls, picture.agent.safeToRestartWhy));
    if (picture.agent.isRunning && picture.agent.lever !== "kernel")
      checks.push(check("lever", "note", CODES.leverWeak, `Lever ${picture.agent.lever}: ${picture.agent.leverWhy}`));
  }
  checks.push(...checkpointChecks(facts), ...cdiChecks(facts), ...diskChecks(facts));
  checks.push(...kubeletChecks(facts), ...runtimeChecks(facts), ...apiChecks(facts), ...processChecks(facts));
  return checks;
}

function told({ code, text, severity, action }: FindingView): Check {
  return { what: "state", verdict: severity, code, text, action };
}

function fine(what: string, text: string): Check {
  return { what, verdict: "fine", code: "", text, action: "" };
}

function check(what: string, verdict: Verdict, code: Code, text: string): Check {
  return { what, verdict, code: code.id, text, action: code.action };
}

/** What was not seen is one line; what was seen is looked at. */
function seen<T>(what: string, one: Seen<T>, look: (value: T) => Check[]): Check[] {
  return isSeen(one) ? look(one.value) : [check(what, "unknown", CODES.notKnown, one.why)];
}

function checkpointChecks({ checkpoint, picture }: Facts): Check[] {
  return seen("checkpoint", checkpoint, (value) => {
    if (value.kind === "damaged") return [check("checkpoint", "wrong", CODES.checkpointDamaged, value.why)];
    if (value.kind === "none")
      return picture === undefined || picture.claims.length === 0
        ? [fine("checkpoint", "there is none, and no claim")]
        : [check("checkpoint", "wrong", CODES.checkpointDamaged, "There is no checkpoint although claims hold CPUs")];
    return [fine("checkpoint", `${value.claims.length} claims`)];
  });
}

function cdiChecks({ cdi, checkpoint, picture }: Facts): Check[] {
  return seen("CDI files", cdi, ({ uids, unreadable, isWritable }) => {
    const found: Check[] = unreadable.map(({ file, why }) =>
      check("CDI files", "wrong", CODES.cdiUnreadable, `${file}: ${why}`),
    );
    if (!isWritable) found.push(check("CDI files", "wrong", CODES.cdiOff, "The CDI directory cannot be written"));
    const known = knownClaims(checkpoint, picture);
    for (const [uid, { name, needsFile }] of known)
      if (needsFile && !uids.includes(uid))
        found.push(check("CDI files", "wrong", CODES.cdiMissing, `Claim ${name} has no CDI file`));
    // Without anybody who knows the claims no file is known to be stale.
    if (picture?.driver.isRunning === true || isSeen(checkpoint))
      for (const uid of uids)
        if (!known.has(uid)) found.push(check("CDI files", "warning", CODES.cdiStale, `Nobody knows claim ${uid}`));
    return found.length > 0 ? found : [fine("CDI files", `${uids.length} files, each of a claim`)];
  });
}

/** By uid. A claim that is allocated again after a boot gets its file with the kubelet's next call. */
function knownClaims(
  checkpoint: Facts["checkpoint"],
  picture: Facts["picture"],
): Map<string, { readonly name: string; readonly needsFile: boolean }> {
  const known = new Map<string, { readonly name: string; readonly needsFile: boolean }>();
  const entries: readonly Entry[] =
    isSeen(checkpoint) && checkpoint.value.kind === "memory" ? checkpoint.value.claims : [];
  for (const { claim, phase } of entries)
    known.set(claim.uid, { name: `${claim.namespace}/${claim.name}`, needsFile: phase === "prepared" });
  for (const claim of picture?.claims ?? [])
    known.set(claim.uid, { name: `${claim.namespace}/${claim.name}`, needsFile: claim.phase === "prepared" });
  return known;
}

function diskChecks({ disk }: Facts): Check[] {
  return seen("disk", disk, ({ path, freeBytes, totalBytes }) => {
    const text = `${(freeBytes / (1 << 20)).toFixed(0)} MiB free at ${path}`;
    const isLow = freeBytes < MIN_FREE_BYTES || freeBytes < totalBytes * MIN_FREE_PART;
    return [isLow ? check("disk", "wrong", CODES.diskFull, text) : fine("disk", text)];
  });
}

function kubeletChecks({ kubelet, settings }: Facts): Check[] {
  return seen("kubelet", kubelet, ({ cpuManagerPolicy, reservedSystemCpus, source }) => {
    const found: Check[] = [];
    if (cpuManagerPolicy === "static")
      found.push(
        check("kubelet", "wrong", CODES.cpuManagerStatic, `The kubelet's CPU manager has policy static (${source})`),
      );
    if (reservedSystemCpus !== undefined && !same(reservedSystemCpus, settings.reserved))
      found.push(
        check(
          "kubelet",
          "warning",
          CODES.reservedDiffer,
          `The kubelet reserves ${named(reservedSystemCpus)}, the driver ${named(settings.reserved)} (${source})`,
        ),
      );
    return found.length > 0
      ? found
      : [
          fine(
            "kubelet",
            `CPU manager none${reservedSystemCpus === undefined ? "" : ", reserved CPUs agree"} (${source})`,
          ),
        ];
  });
}

function named(list: string): string {
  return list === "" ? "no CPUs" : `CPUs ${list}`;
}

function same(a: string, b: string): boolean {
  try {
    return CpuSet.parse(a).equals(CpuSet.parse(b));
  } catch (cause) {
    if (cause instanceof CpuListError) return false;
    throw cause;
  }
}

function runtimeChecks({ nriSocket, nriPlugins, kernel, settings, picture }: Facts): Check[] {
  return [
    ...(picture?.agent.session === "synchronized"
      ? [fine("runtime", `${picture.agent.runtime}, NRI ${picture.agent.nriVersion}: synchronized`)]
      : seen("runtime", nriSocket, (isThere) => [
          isThere
            ? fine("runtime", `NRI socket ${settings.nriSocket}`)
            : check("runtime", "wrong", CODES.nriOff, `There is no ${settings.nriSocket}`),
        ])),
    ...seen("NRI plugins", nriPlugins, (names) => [
      names === undefined || names.length === 0
        ? fine(
            "NRI plugins",
            names === undefined ? "no directory of them is seen from here" : "no other is installed on disk",
          )
        : check("NRI plugins", "warning", CODES.otherPlugins, `Installed beside this driver: ${names.join(", ")}`),
    ]),
    ...seen("kernel", kernel, ({ release, cgroup }) => [
      cgroup === 2 && !isOlder(release, 6, 7)
        ? fine("kernel", `Linux ${release}, cgroup v2: partitions`)
        : check("kernel", "note", CODES.leverWeak, `Linux ${release}, cgroup v${cgroup}: masks`),
    ]),
  ];
}

function apiChecks({ api, settings, picture }: Facts): Check[] {
  return seen("API server", api, (value) => {
    if ("unreachable" in value) return [check("API server", "wrong", CODES.apiUnreachable, value.unreachable)];
    const { version, devices, gone } = value;
    const found: Check[] = [];
    const needs = settings.groupedDevices ? 36 : 34;
    if (isOlder(version.replace(/^v/, ""), 1, 34))
      found.push(check("API server", "wrong", CODES.apiTooOld, `Kubernetes ${version} has no resource.k8s.io/v1`));
    else if (isOlder(version.replace(/^v/, ""), 1, needs))
      found.push(check("API server", "warning", CODES.apiTooOld, `Kubernetes ${version} shares no devices by default`));
    else found.push(fine("API server", `Kubernetes ${version}`));
    if (picture !== undefined)
      found.push(
        ...seen("devices", devices, (count) => [
          count > 0
            ? fine("devices", `${count} are published for this node`)
            : check("devices", "wrong", CODES.notPublished, "No device of this node is published"),
        ]),
        ...seen("claims", gone, (names) => [
          ...names.map((name) =>
            check("claims", "warning", CODES.claimGone, `Claim ${name} is held here, and the API server has none`),
          ),
          ...(names.length === 0 ? [fine("claims", "the API server knows every claim that is held here")] : []),
        ]),
      );
    return found;
  });
}

function processChecks({ processes, picture }: Facts): Check[] {
  if (picture === undefined) return [];
  return seen("processes", processes, ({ narrow, strangers }) => {
    const found = narrow.map(({ container, thread, cpus }) =>
      check("processes", "note", CODES.threadNarrow, `Thread ${thread} of ${container} runs on CPUs ${cpus} alone`),
    );
    if (strangers.length > 0)
      found.push(
        check(
          "processes",
          "note",
          CODES.hostProcesses,
          strangers.map(({ name, cpus }) => `${name} may run on CPUs ${cpus}`).join("; "),
        ),
      );
    return found.length > 0 ? found : [fine("processes", "threads run where their containers may")];
  });
}

/** `6.12.41-generic` before 6.7? */
function isOlder(release: string, major: number, minor: number): boolean {
  const [a = 0, b = 0] = release.split(/[.-]/).map(Number);
  return a < major || (a === major && b < minor);
}
