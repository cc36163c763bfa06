import { expect } from "chai";
import { nextPhase, type ClaimEvent, type ClaimPhase } from "../../src/ledger/phase.ts";

const PHASES = [undefined, "allocated", "preparing", "prepared", "draining"] as const;
const no = "impossible";

describe("the phases of a claim", () => {
  const rows: Readonly<Record<ClaimEvent, readonly (ClaimPhase | undefined | typeof no)[]>> = {
    prepare: ["preparing", "preparing", "preparing", "prepared", no],
    fulfilled: [no, no, "prepared", "prepared", no],
    adopt: ["prepared", no, no, no, no],
    reboot: [no, "allocated", "allocated", "allocated", undefined],
    release: [no, "draining", "draining", "draining", "draining"],
  };
  for (const [event, wanted] of Object.entries(rows) as [ClaimEvent, (typeof rows)[ClaimEvent]][])
    it(`follow ${event} as their table says, and refuse it where it cannot come`, () => {
      const found = PHASES.map((from) => {
        try {
          return nextPhase(from, event);
        } catch (cause) {
          expect((cause as Error).message).to.equal(`A claim that is ${from ?? "unknown"} cannot come to ${event}`);
          return no;
        }
      });
      expect(found).to.deep.equal(wanted);
    });
});
