import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { ResourceClaim } from "../../src/claims/resourceclaim.ts";
import type { Entry } from "../../src/ledger/ledger.ts";
import { ClaimStatus, statusOf, type ClaimStatusOptions, type DeviceStatus } from "../../src/report/claimstatus.ts";

const CLAIM = { metadata: { namespace: "ns", name: "c", uid: "u" } };

describe("a claim's status", () => {
  it("says which CPUs each device stands for, and nothing of devices that are only looked at", () => {
    const result = { pool: "node-a", shareId: undefined };
    const devices = statusOf(
      CLAIM,
      [
        { ...result, request: "a", device: "cpudev004", count: 1 },
        { ...result, request: "a", device: "cpudev006", count: 1 },
        { ...result, request: "b", device: "cpudevnuma000", count: 2, shareId: "s" },
        { ...result, request: "admin", device: "cpudevnuma000", count: 0 },
      ],
      [
        { request: "a", pool: "node-a", device: "cpudev004", cpus: CpuSet.parse("4") },
        { request: "a", pool: "node-a", device: "cpudev006", cpus: CpuSet.parse("6") },
        { request: "b", pool: "node-a", device: "cpudevnuma000", cpus: CpuSet.parse("1-2") },
      ],
      new Map([
        ["cpudev004", CpuSet.parse("4")],
        ["cpudev006", CpuSet.parse("6")],
        ["cpudevnuma000", CpuSet.parse("0-7")],
      ]),
      "dra.cpu",
      Date.parse("2026-01-02T03:04:05.678Z"),
    );
    expect(devices.map(({ device, shareID, data }) => [device, shareID, data])).to.deep.equal([
      ["cpudev004", undefined, { request: "a", cpus: "4" }],
      ["cpudev006", undefined, { request: "a", cpus: "6" }],
      ["cpudevnuma000", "s", { request: "b", cpus: "1-2" }],
    ]);
    expect(devices[2]?.conditions).to.deep.equal([
      {
        type: "Ready",
        status: "True",
        reason: "Enforced",
        message: "CPUs 1-2 are held for ns/c alone",
        lastTransitionTime: "2026-01-02T03:04:05Z",
      },
    ]);
  });
});

describe("writing a claim's status", () => {
  const results = [{ request: "a", pool: "node-a", device: "cpudevmachine", count: 2, shareId: undefined }];
  const shares = [{ request: "a", pool: "node-a", device: "cpudevmachine", cpus: CpuSet.parse("2-3") }];
  const entry = { phase: "prepared", shares } as unknown as Entry;
  const allocated: ResourceClaim = {
    ...CLAIM,
    status: {
      allocation: {
        devices: {
          results: [
            {
              ...{ request: "a", driver: "dra.cpu", pool: "node-a", device: "cpudevmachine" },
              consumedCapacity: { "dra.cpu/cpu": "2" },
            },
          ],
        },
      },
    },
  };
  let stop: AbortController;
  let entries: Map<string, Entry>;
  /** What the API server says, one after the other; nothing is success. */
  let answers: Error[];
  let written: (readonly DeviceStatus[])[];
  let tries: number;
  let warned: string[];
  let status: ClaimStatus;
  let options: ClaimStatusOptions;

  beforeEach(() => {
    stop = new AbortController();
    entries = new Map([["u", entry]]);
    [answers, written, warned, tries] = [[], [], [], 0];
    options = {
      api: {
        devices: async (_claim, devices) => {
          tries++;
          await pause(1, stop.signal);
          const fault = answers.shift();
          if (fault !== undefined) throw fault;
          written.push(devices);
        },
      },
      driver: "dra.cpu",
      // A CPU of the claim went offline since.
      candidates: () => new Map([["cpudevmachine", CpuSet.parse("0-2")]]),
      log: { info: () => {}, warn: (_, more) => warned.push(String(more?.["cause"])), error: () => {} },
      now: () => 0,
      entry: (uid) => entries.get(uid),
    };
    status = new ClaimStatus(options, { firstMs: 1, maxMs: 2 });
  });
  afterEach(() => {
    stop.abort();
  });

  const fault = (isTransient: boolean): Error => Object.assign(new Error("does not answer"), { isTransient });
  const until = async (is: () => boolean): Promise<void> => {
    for (let n = 0; n < 1000 && !is(); n++) await pause(1, stop.signal);
    expect(is()).to.equal(true);
  };

  it("is tried until it is there, and said to fail once", async () => {
    answers = [fault(true), fault(true), fault(true)];
    status.tell(CLAIM, results, shares, stop.signal);
    await until(() => written.length === 1);
    expect(written[0]?.map((one) => one.data.cpus)).to.deep.equal(["2-3"]);
    expect([tries, warned]).to.deep.equal([4, ["does not answer"]]);
  });

  it("ends with the claim, and where no try can help", async () => {
    answers = Array.from({ length: 1000 }, () => fault(true));
    status.tell(CLAIM, results, shares, stop.signal);
    await until(() => tries > 2);
    entries.clear();
    await pause(20, stop.signal);
    const before = tries;
    await pause(20, stop.signal);
    expect(tries).to.equal(before);
    entries.set("u", entry);
    answers = [fault(false), fault(false)];
    status.tell(CLAIM, results, shares, stop.signal);
    await until(() => tries === before + 1);
    await pause(20, stop.signal);
    expect(tries).to.equal(before + 1);
  });

  it("of another claim does not wait for it", async () => {
    const other = { metadata: { ...CLAIM.metadata, name: "other", uid: "v" } };
    entries.set("v", entry);
    status = new ClaimStatus(options, { firstMs: 60_000, maxMs: 60_000 });
    answers = [fault(true)];
    status.tell(CLAIM, results, shares, stop.signal);
    await until(() => warned.length === 1);
    status.tell(other, results, shares, stop.signal);
    await until(() => written.length === 2);
  });

  it("of a claim that an earlier driver prepared is written when the claim is seen without; never a second time", async () => {
    status.seen(allocated, stop.signal);
    await until(() => written.length === 1);
    const [devices = []] = written;
    expect(devices.map((one) => [one.device, one.data.cpus])).to.deep.equal([["cpudevmachine", "2-3"]]);
    status.seen({ ...allocated, status: { ...allocated.status, devices } }, stop.signal);
    entries.set("u", { ...entry, phase: "draining" });
    status.seen(allocated, stop.signal);
    await pause(20, stop.signal);
    expect(tries).to.equal(1);
  });
});
