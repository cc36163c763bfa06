import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { expect } from "chai";
import { tellNodeProblems } from "../../src/report/nodeproblems.ts";

describe("problems of a node", () => {
  it("are told once when they have lasted a while, not at all when they pass, and again when they come back", async () => {
    const away: Finding = { code: CODES.agentAway, text: "away" };
    const brief: Finding = { code: CODES.sessionAway, text: "brief" };
    /** At each look, some milliseconds apart. */
    const looks = [[away, brief], [away], [away], [away], [], [away], [away], [away]];
    const told: string[] = [];
    const ending = new AbortController();
    await tellNodeProblems(
      () => {
        const now = looks.shift();
        if (now === undefined) ending.abort();
        return now ?? [];
      },
      ({ text }) => told.push(text),
      ending.signal,
      { lookMs: 5, lastsMs: 4 },
    );
    expect(told).to.deep.equal(["away", "away"]);
  });
});
