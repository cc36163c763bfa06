import { expect } from "chai";
import { withProgress, type Terminal } from "../../src/cli/progress.ts";

describe("progress", () => {
  const after = (ms: number): Promise<string> => new Promise((resolve) => setTimeout(resolve, ms, "done"));
  const shown = async (isTTY: boolean, ms: number): Promise<string[]> => {
    const written: string[] = [];
    const terminal: Terminal = { isTTY, write: (text) => written.push(text) };
    expect(await withProgress("looking", () => after(ms), terminal, 300)).to.equal("done");
    return written;
  };

  it("is shown to a person who waits, and leaves nothing", async () => {
    const written = await shown(true, 1100);
    expect(written.length).to.be.above(1);
    expect(written[0]).to.match(/^\r\S+\S looking$/);
    expect(written.at(-1)).to.equal("\r\u001b[K");
  });

  it("is not where it is quick, nor where nobody looks; and a fault ends it", async () => {
    expect(await shown(true, 50)).to.deep.equal([]);
    expect(await shown(false, 500)).to.deep.equal([]);
    const written: string[] = [];
    const terminal: Terminal = { isTTY: true, write: (text) => written.push(text) };
    const fails = async (): Promise<never> => {
      await after(700);
      throw new Error("no");
    };
    const fault = await withProgress("looking", fails, terminal, 300).catch(
      (cause: unknown) => (cause as Error).message,
    );
    expect([fault, written.at(-1)]).to.deep.equal(["no", "\r\u001b[K"]);
  });
});
