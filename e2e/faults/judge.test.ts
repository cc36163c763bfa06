import { expect } from "chai";
import { intruders, judge, tooLong } from "./judge.ts";
import type { Recording, Seen } from "./observer.ts";

/** A container with these CPUs from `t` on, one look every 25 ms. */
function seen(t: number, container: string, cpus: string, runs = true): Seen {
  const allowed = runs ? [cpus] : [];
  return { t, last: t - 25, podUid: `pod-${container}`, container, cpus, allowed, commands: [], isSandbox: false };
}

function recording(looks: readonly Seen[], stalls: Recording["stalls"] = []): Recording {
  return {
    seen: [...looks].sort((a, b) => a.t - b.t),
    strangers: [],
    strangerLooks: [],
    stalls,
    looks: 400,
    begin: 0,
    end: 10_000,
  };
}

const facts = {
  claims: new Map([
    ["pod-x", { uid: "x", cpus: 1 }],
    ["pod-y", { uid: "y", cpus: 1 }],
  ]),
  away: [],
};
const failures = (...looks: readonly Seen[]): readonly string[] => judge(recording(looks), facts).failures;

describe("the judge of a recording", () => {
  it("finds a CPU that two claims use, and lets one follow the other", () => {
    expect(failures(seen(100, "x", "1"), seen(500, "y", "1"), seen(600, "x", "1", false))[0]).to.include(
      "twice: CPUs 1",
    );
    expect(failures(seen(100, "x", "1"), seen(500, "x", "1", false), seen(490, "y", "1"))).to.deep.equal([]);
    expect(failures(seen(100, "x", "1"), seen(500, "x", "", false), seen(600, "y", "1"))).to.deep.equal([]);
  });

  it("finds a claim's container that runs unpinned or is moved, not one that does not run", () => {
    expect(failures(seen(100, "x", "0-1"))[0]).to.include("unpinned");
    expect(failures(seen(100, "x", "0-1", false), seen(200, "x", "1"))).to.deep.equal([]);
    expect(failures(seen(100, "x", "1"), seen(300, "x", "0"))[0]).to.include("moved: claim x from 1 to 0");
    const narrow = { ...seen(100, "x", "1"), allowed: ["0-1"] };
    expect(failures(narrow)[0], "by the process itself").to.include("unpinned");
  });

  it("measures shared containers on a claim's CPUs, less its own stalls", () => {
    const looks = [seen(100, "s", "0-1"), seen(1000, "x", "1"), seen(1200, "s", "0")];
    const [episode] = judge(recording(looks), facts).episodes;
    expect(episode?.ms).to.equal(200);
    expect(tooLong(judge(recording(looks), facts).episodes)).to.deep.equal([]);
    const late = [seen(100, "s", "0-1"), seen(1000, "x", "1"), seen(3200, "s", "0")];
    expect(tooLong(judge(recording(late), facts).episodes)[0]).to.include("for 2200 ms");
    const stalled = judge(recording(late, [{ from: 1025, to: 3150 }]), facts).episodes;
    expect(stalled[0]?.ms).to.equal(75);
    const often = [seen(100, "s", "0-1"), seen(1000, "x", "1"), seen(1100, "s", "0-1,3"), seen(1300, "s", "0")];
    expect(judge(recording(often), facts).episodes.map((one) => one.ms)).to.deep.equal([300]);
  });

  it("measures from the agent's return where it was away", () => {
    const looks = [seen(100, "s", "0-1"), seen(1000, "x", "1"), seen(6000, "s", "0")];
    const away = (to: number): ReturnType<typeof judge> =>
      judge(recording(looks), { ...facts, away: [{ from: 900, to }] });
    expect(away(5800).episodes[0]).to.include({ ms: 5000, afterReturn: 200 });
    expect(tooLong(away(5800).episodes)).to.deep.equal([]);
    expect(tooLong(away(3000).episodes)[0]).to.include("3000 of them with the agent there");
  });

  it("counts an episode that did not end", () => {
    expect(judge(recording([seen(100, "s", "0-1"), seen(1000, "x", "1")]), facts).episodes[0]?.ms).to.equal(9000);
  });

  it("finds a thread outside of all pods that might run on a claim's CPU, in a look that the claim's time holds whole", () => {
    const found = (from: number, to: number, allowed: string): string[] =>
      intruders(
        {
          ...recording([seen(100, "x", "1"), seen(900, "x", "1", false)]),
          strangers: [{ from, to, tid: 7, command: "sshd", allowed }],
          strangerLooks: [50, 300, 550, 800, 1050].map((begin) => ({ from: begin, to: begin + 80 })),
        },
        facts,
      ).found;
    expect(found(50, 820, "0-1")[0]).to.include("thread 7 (sshd) might run on 0-1 while claim x had 1");
    expect(found(300, 310, "0-1"), "one look").to.have.length(1);
    expect(found(50, 820, "0")).to.deep.equal([]);
    expect(found(50, 60, "0-1"), "before").to.deep.equal([]);
    expect(found(800, 1060, "0-1"), "a look that the claim's end cuts, and later ones").to.deep.equal([]);
  });
});
