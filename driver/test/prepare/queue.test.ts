import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { Shortage } from "../../src/prepare/queue.ts";

/** Claims that take the lowest CPUs of their goal, or all of a fixed one. */
class Node {
  readonly shortage = new Shortage();
  readonly served: string[] = [];
  readonly stop = new AbortController();
  free = CpuSet.empty;

  ask(name: string, cpus: string, count: number, fixed = false): Promise<string | undefined> {
    const goal = { cpus: CpuSet.parse(cpus), fixed };
    const decide = (promised: CpuSet): string | undefined => {
      const usable = this.free.intersect(goal.cpus).minus(promised);
      if (usable.size < count) return undefined;
      const taken = usable.lowest(count);
      this.free = this.free.minus(taken);
      this.served.push(`${name} ${taken.toString()}`);
      return name;
    };
    return this.shortage.wait(goal, decide, this.stop.signal);
  }

  release(cpus: string): void {
    this.free = this.free.union(CpuSet.parse(cpus));
    this.shortage.released();
  }
}

describe("waiting for CPUs", () => {
  let node: Node;
  beforeEach(() => {
    node = new Node();
  });
  afterEach(() => node.stop.abort());

  it("is first come first among those who may take the same CPUs", async () => {
    node.free = CpuSet.parse("0-1");
    void node.ask("big", "0-7", 4);
    void node.ask("small", "0-7", 1);
    expect(node.served).to.deep.equal([]);
    node.release("2-4");
    await Promise.resolve();
    expect(node.served).to.deep.equal(["big 0-3", "small 4"]);
  });
  it("asks nobody again who was served, though serving one lets all look", async () => {
    const first = node.ask("first", "0-15", 4);
    const second = node.ask("second", "0-15", 4);
    node.release("0-15");
    expect(await Promise.all([first, second])).to.deep.equal(["first", "second"]);
    expect(node.served).to.deep.equal(["first 0-3", "second 4-7"]);
  });
  it("asks nobody while he decides, whatever his decision sets off", async () => {
    let deciding = 0;
    let asked = 0;
    const answer = node.shortage.wait(
      { cpus: CpuSet.parse("0-3"), fixed: false },
      () => {
        expect((deciding += 1)).to.equal(1);
        asked += 1;
        // As a look at the machine does that finds it changed.
        if (asked === 1) node.shortage.released();
        deciding -= 1;
        return asked === 1 ? undefined : "served";
      },
      node.stop.signal,
    );
    expect(await answer).to.equal("served");
    expect(asked).to.equal(2);
  });
  it("holds up nobody who takes others", () => {
    node.free = CpuSet.parse("8-9");
    void node.ask("here", "0-7", 1);
    void node.ask("there", "8-15", 1);
    expect(node.served).to.deep.equal(["there 8"]);
  });
  it("keeps certain CPUs for who came first for them, and holds up nobody who can take others", () => {
    node.free = CpuSet.parse("2,4-6");
    void node.ask("exact", "2-3", 2, true);
    void node.ask("any", "0-7", 2);
    void node.ask("exact too", "2", 1, true);
    expect(node.served).to.deep.equal(["any 4-5"]);
    node.release("3");
    expect(node.served).to.deep.equal(["any 4-5", "exact 2-3"]);
    node.release("2");
    expect(node.served).to.deep.equal(["any 4-5", "exact 2-3", "exact too 2"]);
  });
  it("ends with a refusal, and lets the others go on", async () => {
    node.free = CpuSet.parse("0");
    const refused = node.shortage.wait(
      { cpus: CpuSet.parse("0-3"), fixed: false },
      () => {
        if (node.free.size > 1) throw new Error("never here");
        return undefined;
      },
      node.stop.signal,
    );
    const next = node.ask("next", "0-3", 1);
    expect(node.served).to.deep.equal([]);
    node.release("1");
    expect(await refused.catch((cause: unknown) => (cause as Error).message)).to.equal("never here");
    expect(await next).to.equal("next");
  });
  it("lets those behind look again when somebody gives up", async () => {
    node.free = CpuSet.parse("0");
    const patience = new AbortController();
    const big = node.shortage.wait({ cpus: CpuSet.parse("0-7"), fixed: false }, () => undefined, patience.signal);
    const small = node.ask("small", "0-7", 1);
    expect(node.served).to.deep.equal([]);
    patience.abort();
    expect(await big).to.equal(undefined);
    expect(node.served).to.deep.equal(["small 0"]);
    expect(await small).to.equal("small");
  });
  it("ends without an answer when time is up", async () => {
    const mine = node.ask("late", "0", 1);
    node.stop.abort();
    expect(await mine).to.equal(undefined);
    node.release("0");
    expect(node.served).to.deep.equal([]);
  });
});
