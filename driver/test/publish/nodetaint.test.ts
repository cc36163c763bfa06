import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { expect } from "chai";
import { NodeTaint } from "../../src/publish/nodetaint.ts";

describe("a node's taint", () => {
  /** @param looks what is found at each look, some milliseconds apart. @returns the taints that were published, by value. */
  const published = async (looks: (readonly Finding[])[]): Promise<string[]> => {
    const ending = new AbortController();
    const node = new NodeTaint();
    const values: string[] = [];
    const quiet = { info: () => {}, warn: () => {}, error: () => {} };
    await node.run(
      () => {
        const now = looks.shift();
        if (now === undefined) ending.abort();
        return now ?? looks.at(-1) ?? [];
      },
      () => values.push(node.taint?.value ?? "none"),
      quiet,
      ending.signal,
      { lookMs: 5, lastsMs: 9 },
    );
    return values;
  };
  const away: Finding = { code: CODES.agentAway, text: "away" };
  const noSession: Finding = { code: CODES.sessionAway, text: "no session" };
  const dropped: Finding = { code: CODES.fieldDropped, text: "dropped" };

  it("comes when new claims cannot be pinned for a while, whatever keeps them from it, and goes when they can", async () => {
    expect(await published([[away], [away, dropped], [away], [noSession], [noSession], []])).to.deep.equal([
      "DRACPU-106",
      "none",
    ]);
  });

  it("does not come for what is over soon, or keeps no claim from its CPUs", async () => {
    expect(await published([[away], [], [away], [], [dropped], [dropped], [dropped], [dropped]])).to.deep.equal([]);
  });
});
