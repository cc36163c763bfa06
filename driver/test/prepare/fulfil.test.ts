import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { ClaimProgressSchema, Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { expect } from "chai";
import type { Entry } from "../../src/ledger/ledger.ts";
import type { AgentLink } from "../../src/prepare/agentlink.ts";
import { fulfil } from "../../src/prepare/fulfil.ts";
import type { CdiPort } from "../../src/prepare/ports.ts";
import { ENTRY } from "./entry.ts";

const PREPARING: Entry = { ...ENTRY, phase: "preparing" };

describe("fulfilling a claim", () => {
  const impossible = create(ClaimProgressSchema, { claimUid: "u", progress: Progress.IMPOSSIBLE, why: "no" });
  const link: Pick<AgentLink, "progress"> = { progress: () => Promise.resolve(impossible) };
  const fulfilled = async (write: CdiPort["write"], agent = link, ms = 5000): Promise<string> => {
    const cdi: Pick<CdiPort, "write"> = { write };
    const ports = { cdi: cdi as CdiPort, link: agent as AgentLink };
    return fulfil(ports, "claim d/c", PREPARING, AbortSignal.timeout(ms)).then(
      () => "fulfilled",
      (cause: unknown) => (cause as Error).message,
    );
  };

  it("ends when nothing of it is under way any more, also where the agent says no before the file is written", async () => {
    const order: string[] = [];
    let written = (): void => {};
    const ended = fulfilled(() => new Promise((resolve) => (written = resolve))).finally(() => order.push("ended"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    order.push("written");
    written();
    expect(await ended).to.equal("Cannot prepare claim d/c on CPUs 2-3: no");
    expect(order).to.deep.equal(["written", "ended"]);
  });

  it("says what failed first, where the file cannot be written either", async () => {
    const write = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      throw new Error("the disk is full");
    };
    expect(await fulfilled(write)).to.equal("Cannot prepare claim d/c on CPUs 2-3: no");
  });

  it("says what the agent's last answer was, where the time ends within a call", async () => {
    let calls = 0;
    const away: typeof link = {
      progress: async (_uid, _ms, signal) => {
        calls += 1;
        if (calls > 1) await once(signal, "abort");
        throw new Error(calls > 1 ? "it did not answer in time" : "the NRI agent is not running");
      },
    };
    expect(await fulfilled(() => Promise.resolve(), away, 1000)).to.include("alone: the NRI agent is not running.");
    expect(calls).to.equal(2);
  });
});
