import { expect } from "chai";
import { printExplanations } from "../../src/cli/explain.ts";
import { printMap } from "../../src/cli/map.ts";
import { explain } from "../../src/picture/explain.ts";
import { SysfsOverlay } from "../../src/sysfs/tree.ts";
import { readMachine } from "../../src/topology/read.ts";
import { machine } from "../../../e2e/machines/build.ts";
import { agentOf, held, NOW, picture, running } from "../picture/sitters.ts";

const options = { width: 100, fold: true, nowMs: NOW + 400 };

describe("dracpu map", () => {
  it("draws threads beside their siblings, with the marks of their claims", () => {
    const claims = [
      held("db", "1,9"),
      held("web", "4", { consumers: [{ resource: "pods", uid: "u", name: "web-0" }] }),
    ];
    const lines = printMap(picture({ claims }), options).split("\n");
    expect(lines).to.include("Socket 0 + NUMA node 0 + L3 0  =· PP ·· ··");
    expect(lines).to.include("Socket 1 + NUMA node 1 + L3 1  W· ·· ·· ··");
    expect(lines.join("\n")).to.match(/P +shop\/db +prepared +2 +1,9 +pod-db/);
  });

  it("shows what is wrong in the drawing and in words", () => {
    const claims = [held("db", "1,9")];
    const text = printMap(picture({ claims, agent: agentOf(claims, [running("x", "0", "", "0-1")]) }), options);
    expect(text).to.include("=· !P ·· ··");
    expect(text).to.match(/✗ Container main of pod shop\/x may run on CPUs 1, .*\[DRACPU-314\]/);
  });

  it("fits 512 CPUs into a terminal by folding idle cores, and shows all of them where asked", () => {
    const big = readMachine(SysfsOverlay.parse(machine("epyc-9754-2s-512"), undefined));
    const shown = picture({ machine: big, claims: [held("db", "8-15")] });
    const lines = printMap(shown, options).split("\n");
    expect(lines.filter((line) => line.length > 100)).to.deep.equal([]);
    expect(lines.length).to.be.below(30);
    const all = printMap(shown, { ...options, fold: false });
    const threads = all.slice(all.indexOf("Socket 0"), all.indexOf("shared by")).match(/[·=P]/g);
    // One more of each in the legend.
    expect(threads?.length).to.equal(512 + 1);
  });

  it("lets no name move the cursor", () => {
    const claims = [held("a\u001b[2Jb\nc", "1")];
    const text = printMap(picture({ claims }), options);
    expect(text).to.include("shop/a?[2Jb?c");
  });
});

describe("dracpu explain", () => {
  const claims = [
    held("db", "1,9", {
      chosen: {
        atMs: NOW,
        free: readMachine(SysfsOverlay.parse(machine("one-cpu"), undefined)).online,
        wishes: ["cpus: packed"],
      },
    }),
  ];
  const containers = [running("db", "1,9", "db"), running("web", "0,2-8,10-15")];
  const entry = { timeMs: NOW, source: "agent" as const, code: "", cpus: "", operation: "", claim: "" };
  const events = [
    { ...entry, kind: "pinned", text: "Pinned to CPUs 1,9", pod: "shop/db", container: "main" },
    { ...entry, kind: "pool", text: "The shared pool is now CPUs 0", pod: "", container: "" },
  ];

  it("finds a pod however it is named, and nobody else", () => {
    const shown = picture({ claims, agent: agentOf(claims, containers) });
    for (const who of ["db", "shop/db", "db/main", "shop/db/main"])
      expect(explain(shown, events, who).map((one) => one.container.pod)).to.deep.equal(["db"]);
    expect(explain(shown, events, "d")).to.deep.equal([]);
  });

  it("says the verdict, the reasons, and what happened", () => {
    const shown = picture({ claims, agent: agentOf(claims, containers) });
    const text = printExplanations(explain(shown, events, "db"), NOW);
    expect(text).to.match(/^✔ shop\/db\/main has CPUs 1,9 alone\n/);
    expect(text).to.include("cpus: CPUs 1,9 of device cpudevnuma000");
    expect(text).to.include("cpus: packed");
    expect(text).to.match(/free then .*: 0;/);
    expect(text).to.include("Pinned to CPUs 1,9");
    expect(text).to.not.include("The shared pool is now");
    expect(printExplanations(explain(shown, events, "web"), NOW)).to.include("The shared pool is now");
  });

  it("says it where a stranger may run there too", () => {
    const loose = [running("db", "1,9", "db"), running("web", "0,2-8,10-15", "", "0-15")];
    const shown = picture({ claims, agent: agentOf(claims, loose) });
    const [one] = explain(shown, [], "db");
    expect(one?.isWrong).to.equal(true);
    expect(one?.verdict).to.include("1 other container may run there");
    expect(explain(shown, [], "web")[0]?.verdict).to.include("may run on CPUs 1,9");
  });
});
