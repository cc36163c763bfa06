import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import { machineNamed } from "../demo/machines.ts";
import { EmbeddedNode, type RunningPod } from "../kit/embedded/node.ts";
import { openBrowser } from "./browser.ts";
import { bestOf } from "../kit/rounds.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const main = (name: string): string[] => [process.execPath, join(ROOT, name, "src", "main.ts")];

// The page as the driver's own process serves it, on a node whose two programs are real.
describe("the page of a running driver", function () {
  this.timeout(120_000);
  const { text, online } = machineNamed("usual");
  const node = new EmbeddedNode({ machine: text, online, driver: main("driver"), agent: main("nri-agent") });
  let browser: Browser;
  let page: Page;
  let pod: RunningPod | undefined;
  before(async () => {
    browser = await openBrowser();
    await node.start();
    await node.submit({ namespace: "shop", name: "web", containers: ["main"] });
    page = await browser.newPage();
    await page.goto(node.pageUrl);
    await page.waitForSelector(".findings.none");
  });
  after(async () => {
    await browser.close();
    await node.end();
  });
  const owned = (): Promise<string[]> =>
    page.evaluate("[...document.querySelectorAll('.machine .use-claim')].map((one) => one.dataset.cpu)");

  it("shows a pod's claim and containers within a second of its start, on the CPUs that it really has", async () => {
    const claim = { cpus: 4 };
    const shown = await bestOf(1000, async (round) => {
      if (pod !== undefined) {
        await node.remove(pod);
        await page.waitForSelector("text=No claim holds CPUs.", { timeout: 10_000 });
      }
      pod = await node.submit({ namespace: "shop", name: `db${round}`, containers: ["main"], claim });
      const began = Date.now();
      // An Event may name the container before the drawing has it.
      await page.waitForSelector(`text=shop/db${round}/main`);
      await page.waitForSelector(".machine .use-claim");
      return Date.now() - began;
    });
    expect(shown).to.be.below(1000);
    const cpus = (await owned()).map(Number);
    expect(pod && node.cpusOf(pod)["main"]).to.equal(CpuSet.from(cpus).toString());
    await page.waitForSelector("text=Prepared, on CPUs");
  });

  it("goes on drawing claims while the agent is away, and says that it is", async () => {
    await node.kill("agent");
    await page.waitForSelector("text=agent away", { timeout: 5000 });
    expect((await owned()).length).to.equal(4);
    await node.startAgent();
    await page.waitForSelector(".findings.none", { timeout: 10_000 });
  });

  it("comes back with the driver", async () => {
    await node.kill("driver");
    await page.waitForSelector("html.stale", { state: "attached", timeout: 10_000 });
    expect((await owned()).length).to.equal(4);
    await node.startDriver();
    await page.waitForSelector("html:not(.stale) .findings.none", { timeout: 15_000 });
  });

  it("shows that a pod has gone", async () => {
    if (pod !== undefined) await node.remove(pod);
    await page.waitForSelector("text=No claim holds CPUs.", { timeout: 10_000 });
    expect(await owned()).to.deep.equal([]);
  });
});
