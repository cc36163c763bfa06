import { getEventListeners } from "node:events";
import { expect } from "chai";
import { within } from "@dracpu/shared-proto/lifecycle/within.ts";

const never = (signal: AbortSignal): Promise<string> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
const failure = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "none",
    (cause: unknown) => `${(cause as Error).name}: ${(cause as Error).message}`,
  );

describe("work within a time", () => {
  it("is ended by the time, and by any signal, for its reason", async () => {
    const outer = new AbortController();
    expect(await failure(within(5, [outer.signal], never))).to.equal("TimeoutError: not done within 0.005 s");
    const ended = failure(within(60_000, [new AbortController().signal, outer.signal], never));
    outer.abort(new RangeError("enough"));
    expect(await ended).to.equal("RangeError: enough");
    expect(await within(60_000, [outer.signal], (signal) => Promise.resolve(signal.aborted))).to.equal(true);
  });

  it("leaves nothing behind, neither on the signals nor in the time to come", async () => {
    const outer = new AbortController();
    let own: AbortSignal | undefined;
    const answer = await within(20, [outer.signal], (signal) => Promise.resolve((own = signal)));
    expect(getEventListeners(outer.signal, "abort")).to.have.length(0);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect([answer.aborted, own?.aborted]).to.deep.equal([false, false]);
  });
});
