import { create } from "@bufbuild/protobuf";
import { ClaimProgressSchema, Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { expect } from "chai";
import { Ledger } from "../../src/ledger/ledger.ts";
import type { AgentLink } from "../../src/prepare/agentlink.ts";
import { Shortage } from "../../src/prepare/queue.ts";
import { Releaser } from "../../src/prepare/releaser.ts";
import { ENTRY } from "./entry.ts";

describe("releasing claims", () => {
  const stop = new AbortController();
  after(() => stop.abort());
  const settled = async (isSo: () => boolean): Promise<void> => {
    for (let n = 0; n < 200 && !isSo(); n++) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  it("ends for a claim that is prepared and released again while the agent is told of its first release", async () => {
    const ledger = new Ledger();
    const drained = create(ClaimProgressSchema, { claimUid: "u", progress: Progress.DRAINED });
    let told = (): void => {};
    let isTelling = false;
    // The agent's word is at hand; being told of what the ledger lacks takes it long, once.
    const link: Pick<AgentLink, "progress" | "push"> = {
      progress: () => Promise.resolve(drained),
      push: () => {
        if (ledger.get("u") !== undefined || isTelling) return Promise.resolve();
        isTelling = true;
        return new Promise((resolve) => (told = resolve));
      },
    };
    const releaser = new Releaser({
      ledger,
      checkpoint: { save: () => Promise.resolve() },
      cdi: {
        write: () => Promise.resolve(),
        remove: () => Promise.resolve(),
        list: () => Promise.resolve([]),
        named: () => Promise.resolve([]),
        remembered: () => Promise.resolve({ allocations: [], bare: [], unreadable: [] }),
      },
      link: link as AgentLink,
      shortage: new Shortage(),
      log: { info: () => {}, warn: () => {}, error: () => {} },
    });
    releaser.start(stop.signal);
    ledger.put(ENTRY);
    await releaser.release("u", stop.signal);
    await settled(() => isTelling);
    expect([isTelling, ledger.get("u")]).to.deep.equal([true, undefined]);
    ledger.put(ENTRY);
    await releaser.release("u", stop.signal);
    expect(ledger.get("u")?.phase).to.equal("draining");
    told();
    await settled(() => ledger.get("u") === undefined);
    expect(ledger.get("u")).to.equal(undefined);
  });
});
