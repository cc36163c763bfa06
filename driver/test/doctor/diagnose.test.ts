import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { Code } from "@dracpu/shared-proto/codes/code.ts";
import { expect } from "chai";
import { printChecks, statusOfChecks } from "../../src/cli/doctor.ts";
import { diagnose } from "../../src/doctor/diagnose.ts";
import type { Facts, Verdict } from "../../src/doctor/facts.ts";
import { agentOf, held, picture, running } from "../picture/sitters.ts";

const claims = [held("db", "1,9")];
const agent = agentOf(claims, [running("db", "1,9", "db"), running("web", "0,2-8,10-15")]);
agent.lever = 1;
agent.safeToRestart = true;

const well: Facts = {
  picture: picture({ claims, agent }),
  settings: { reserved: "0", groupedDevices: true, stateDir: "/s", cdiDir: "/c", nriSocket: "/nri.sock" },
  checkpoint: { value: { kind: "memory", claims } },
  cdi: { value: { uids: ["uid-db"], unreadable: [], isWritable: true } },
  disk: { value: { path: "/s", freeBytes: 1e10, totalBytes: 1e11 } },
  kernel: { value: { release: "6.12.41-amd64", cgroup: 2 } },
  nriSocket: { value: true },
  nriPlugins: { value: [] },
  kubelet: { value: { cpuManagerPolicy: "none", reservedSystemCpus: "0", source: "config.yaml" } },
  api: { value: { version: "v1.36.3", devices: { value: 2 }, gone: { value: [] } } },
  processes: { value: { narrow: [], strangers: [] } },
};
const api = (more: object): Facts["api"] => ({
  value: { version: "v1.36.3", devices: { value: 2 }, gone: { value: [] }, ...more },
});
const kubelet = (more: object): Facts["kubelet"] => ({
  value: { cpuManagerPolicy: "none", reservedSystemCpus: "0", source: "config.yaml", ...more },
});
const away = picture({ claims, agent: undefined, agentWhy: "nobody listens" });
const masks = agentOf(claims, []);
masks.safeToRestart = true;
const stalls = agentOf(claims, []);
stalls.lever = 1;
stalls.safeToRestartWhy = "a container is in its grace";

/** One thing that is not as it should be, and what is said of it. */
const CASES: readonly (readonly [string, Partial<Facts>, Code, Verdict])[] = [
  ["a program that is away", { picture: away }, CODES.inspectAway, "wrong"],
  ["a restart that would stall", { picture: picture({ claims, agent: stalls }) }, CODES.restartStalls, "warning"],
  ["masks", { picture: picture({ claims, agent: masks }) }, CODES.leverWeak, "note"],
  [
    "a damaged checkpoint",
    { checkpoint: { value: { kind: "damaged", why: "cut" } } },
    CODES.checkpointDamaged,
    "wrong",
  ],
  ["a lost checkpoint", { checkpoint: { value: { kind: "none" } } }, CODES.checkpointDamaged, "wrong"],
  ["a checkpoint that may not be read", { checkpoint: { why: "EACCES" } }, CODES.notKnown, "unknown"],
  ["no CDI file", { cdi: { value: { uids: [], unreadable: [], isWritable: true } } }, CODES.cdiMissing, "wrong"],
  [
    "a stale CDI file",
    { cdi: { value: { uids: ["uid-db", "uid-old"], unreadable: [], isWritable: true } } },
    CODES.cdiStale,
    "warning",
  ],
  [
    "an unreadable CDI file",
    { cdi: { value: { uids: ["uid-db"], unreadable: [{ file: "f", why: "no JSON" }], isWritable: true } } },
    CODES.cdiUnreadable,
    "wrong",
  ],
  [
    "a CDI directory that cannot be written",
    { cdi: { value: { uids: ["uid-db"], unreadable: [], isWritable: false } } },
    CODES.cdiOff,
    "wrong",
  ],
  ["a full disk", { disk: { value: { path: "/s", freeBytes: 1e6, totalBytes: 1e9 } } }, CODES.diskFull, "wrong"],
  ["the static CPU manager", { kubelet: kubelet({ cpuManagerPolicy: "static" }) }, CODES.cpuManagerStatic, "wrong"],
  ["other reserved CPUs", { kubelet: kubelet({ reservedSystemCpus: "0-1" }) }, CODES.reservedDiffer, "warning"],
  ["an unreadable list", { kubelet: kubelet({ reservedSystemCpus: "x" }) }, CODES.reservedDiffer, "warning"],
  ["no NRI", { picture: undefined, nriSocket: { value: false } }, CODES.nriOff, "wrong"],
  ["another plugin", { nriPlugins: { value: ["10-balloons"] } }, CODES.otherPlugins, "warning"],
  ["an old kernel", { kernel: { value: { release: "6.1.0", cgroup: 2 } } }, CODES.leverWeak, "note"],
  ["cgroup v1", { kernel: { value: { release: "6.12.0", cgroup: 1 } } }, CODES.leverWeak, "note"],
  ["an API server that is away", { api: { value: { unreachable: "ECONNREFUSED" } } }, CODES.apiUnreachable, "wrong"],
  ["an old cluster", { api: api({ version: "v1.33.1" }) }, CODES.apiTooOld, "wrong"],
  ["a cluster that shares no devices", { api: api({ version: "v1.35.0" }) }, CODES.apiTooOld, "warning"],
  ["no devices", { api: api({ devices: { value: 0 } }) }, CODES.notPublished, "wrong"],
  ["a claim that is gone", { api: api({ gone: { value: ["shop/db"] } }) }, CODES.claimGone, "warning"],
  ["claims that may not be read", { api: api({ gone: { why: "forbidden" } }) }, CODES.notKnown, "unknown"],
  [
    "a thread with an affinity",
    { processes: { value: { narrow: [{ container: "shop/db/main", thread: 7, cpus: "1" }], strangers: [] } } },
    CODES.threadNarrow,
    "note",
  ],
  [
    "a host process on a claim's CPUs",
    { processes: { value: { narrow: [], strangers: [{ name: "sshd", cpus: "1" }] } } },
    CODES.hostProcesses,
    "note",
  ],
];

describe("dracpu doctor", () => {
  it("finds nothing where all is well", () => {
    const checks = diagnose(well);
    expect(checks.filter((one) => one.verdict !== "fine")).to.deep.equal([]);
    expect(statusOfChecks(checks)).to.equal(0);
    expect(printChecks(checks)).to.include("0 wrong, 0 warnings, 0 not seen");
  });

  for (const [name, change, code, verdict] of CASES) {
    it(`finds ${name}, and nothing else`, () => {
      const odd = diagnose({ ...well, ...change }).filter((one) => one.verdict !== "fine");
      expect(odd.map((one) => [one.code, one.verdict])).to.deep.equal([[code.id, verdict]]);
      expect(odd[0]?.action).to.equal(code.action);
      const status = { wrong: 3, warning: 4, note: 0, unknown: 0, fine: 0 }[verdict];
      expect(statusOfChecks(odd)).to.equal(status);
    });
  }

  it("before an installation looks at node and cluster alone", () => {
    const whats = diagnose({ ...well, picture: undefined, checkpoint: { value: { kind: "none" } } }).map(
      (one) => one.what,
    );
    expect(whats).to.include.members(["kernel", "kubelet", "runtime", "API server", "disk"]);
    expect(whats).to.not.include.members(["processes"]);
  });
});
