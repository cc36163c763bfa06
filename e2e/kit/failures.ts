/** Mocha's `Suite.getHooks`, which its types leave out. */
interface Hooks {
  getHooks(kind: "beforeAll" | "beforeEach" | "afterAll"): { readonly state?: string; readonly err?: Error }[];
}

/**
 * Calls `dump` with the title of whatever fails, before anybody cleans up: after each test, and before a suite's `after` where one of its hooks failed. To be called before the
 * root has other hooks.
 */
export function dumpFailures(dump: (title: string, cause: Error | undefined) => Promise<void>): void {
  const watch = (suite: Mocha.Suite): void => {
    const hooks = suite as unknown as Hooks;
    suite.afterAll("dumps what a hook left", async function () {
      this.timeout(120_000);
      const failed = [...hooks.getHooks("beforeAll"), ...hooks.getHooks("beforeEach")].find(
        (one) => one.state === "failed",
      );
      if (failed !== undefined) await dump(`${suite.fullTitle()} hook`, failed.err);
    });
    // They run in this order, and the suite's own are there already.
    const last = hooks.getHooks("afterAll");
    last.unshift(...last.splice(-1));
    for (const inner of suite.suites) watch(inner);
  };
  before("watches for failures", function () {
    if (this.test?.parent !== undefined) watch(this.test.parent);
  });
  afterEach("dumps what failed", async function () {
    this.timeout(120_000);
    const { currentTest } = this;
    if (currentTest?.state === "failed") await dump(currentTest.fullTitle(), currentTest.err);
  });
}
