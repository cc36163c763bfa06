import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { statusOf } from "../../src/report/claimstatus.ts";

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
