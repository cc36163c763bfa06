import { request } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { servePage } from "@dracpu/driver/page/serve.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import { openBrowser } from "./browser.ts";
import { Board, busy } from "./node.ts";
import { bestOf } from "../kit/rounds.ts";

const PORT = 18181;
const ADDRESS = `127.0.0.1:${PORT}`;
const URL = `http://${ADDRESS}/`;
const IMAGES = join(import.meta.dirname, "..", "..", "docs", "images");
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** A pod's name cannot be this; what an agent says can. */
const HOSTILE = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>\u202e\${1}`;
const CLAIMS = [
  ["database", "8-11,40-43"],
  ["orders", "16-17,48-49"],
  ["transcoder", "24-26,56-58"],
] as const;

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

// The page in a real browser, before a board on which the test writes.
describe("the page", function () {
  this.timeout(60_000);
  const board = new Board(busy("usual", CLAIMS));
  let browser: Browser;
  let close: () => Promise<void>;
  before(async () => {
    browser = await openBrowser();
    close = await servePage(ADDRESS, board);
    board.tell({ kind: "pinned", text: "Pinned to CPUs 8-11,40-43", pod: "shop/pod-database", container: "main" });
  });
  after(async () => {
    await browser.close();
    await close();
  });
  beforeEach(() => {
    board.shown = busy("usual", CLAIMS);
  });

  const opened = async (
    look: { width?: number; height?: number; dark?: boolean; hash?: string } = {},
  ): Promise<{ readonly page: Page; readonly odd: string[] }> => {
    const context = await browser.newContext({
      viewport: { width: look.width ?? 1280, height: look.height ?? 900 },
      colorScheme: look.dark === true ? "dark" : "light",
    });
    const page = await context.newPage();
    const odd: string[] = [];
    page.on("console", (message) => odd.push(message.text()));
    page.on("pageerror", (cause) => odd.push(String(cause)));
    page.on("dialog", (dialog) => {
      odd.push(`dialog ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("request", (one) => {
      if (!one.url().startsWith(URL)) odd.push(`asks ${one.url()}`);
    });
    await page.goto(URL + (look.hash ?? ""));
    await page.waitForSelector(".machine, table");
    return { page, odd };
  };
  const violations = async (page: Page): Promise<string[]> => {
    // Evaluated by the debugger, so the page's own policy stays in force.
    await page.evaluate(AXE);
    const { violations: found } = (await page.evaluate(
      "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] })",
    )) as { violations: Violation[] };
    return found.map(
      (one) => `${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary ?? ""}`).join("\n")}`,
    );
  };
  const count = (page: Page, selector: string): Promise<number> => page.locator(selector).count();
  const write = async (page: Page, name: string): Promise<void> => {
    // `DRACPU_WRITE=1 npm run test:page` takes the pictures of the documentation anew.
    if (process.env["DRACPU_WRITE"] !== undefined)
      await page.screenshot({ path: join(IMAGES, `${name}.png`), animations: "disabled" });
  };

  it("draws every thread with its owner's mark, asks nobody else, and breaks no policy", async () => {
    const { page, odd } = await opened({ hash: "#fold=no" });
    expect(await count(page, ".machine .thread")).to.equal(64);
    expect(await count(page, ".machine .use-claim")).to.equal(18);
    expect(await page.locator(".machine [data-cpu='40']").innerText()).to.match(/^P/);
    expect(await page.locator("#age").innerText()).to.match(/as of \d\.\d s ago/);
    await page.waitForTimeout(700);
    await write(page, "page-light");
    expect(odd).to.deep.equal([]);
  });

  for (const dark of [false, true]) {
    it(`has nothing that axe finds: ${dark ? "dark" : "light"}, drawing and table, well and wrong`, async () => {
      board.shown = busy("usual", CLAIMS, { outside: "0-15" });
      const { page } = await opened({ dark });
      expect(await violations(page)).to.deep.equal([]);
      if (dark) await write(page, "page-wrong-dark");
      await page.getByLabel("as a table").check();
      await page.waitForSelector("caption");
      expect(await violations(page)).to.deep.equal([]);
      // It looks at all.
      await page.evaluate("document.body.append(document.createElement('img'))");
      expect((await violations(page)).join()).to.include("image-alt");
    });
  }

  it("cannot be overlooked when something is wrong, and says it in words, in the drawing and in the title", async () => {
    const { page } = await opened();
    expect(await count(page, ".findings.none")).to.equal(1);
    board.shown = busy("usual", CLAIMS, { outside: "0-15" });
    await page.waitForSelector(".findings .wrong");
    expect(await page.locator(".findings").innerText()).to.include(CODES.outside.id);
    expect(await count(page, ".machine .wrong")).to.equal(4);
    expect(await page.locator(".machine [data-cpu='8']").innerText()).to.match(/^!/);
    expect(await page.title()).to.match(/^✗/);
    expect(await page.locator("tr.bad").first().innerText()).to.include("shop/web/main");
    board.shown = busy("usual", CLAIMS);
    await page.waitForSelector(".findings.none");
  });

  it("shows what happens within a second", async () => {
    const { page } = await opened();
    const drawn = await bestOf(1000, async (round) => {
      const began = Date.now();
      board.shown = busy("usual", [...CLAIMS, [`newcomer${round}`, "4"]]);
      await page.waitForSelector(`text=shop/newcomer${round}`);
      return Date.now() - began;
    });
    expect(drawn).to.be.below(1000);
    const told = await bestOf(1000, async (round) => {
      const began = Date.now();
      const text = `Found running elsewhere ${round}`;
      board.tell({ kind: "escaped", text, pod: "shop/web", container: "main", code: "DRACPU-311" });
      await page.waitForSelector(`text=${text}`);
      return Date.now() - began;
    });
    expect(told).to.be.below(1000);
  });

  it("greys and says so when nobody speaks to it, and comes back by itself", async () => {
    const { page } = await opened();
    await close();
    await page.waitForSelector("html.stale", { state: "attached", timeout: 10_000 });
    expect(await page.locator("#age").innerText()).to.include("Nothing heard for");
    expect(await violations(page)).to.deep.equal([]);
    close = await servePage(ADDRESS, board);
    await page.waitForSelector("html:not(.stale)", { state: "attached", timeout: 10_000 });
  });

  it("finds pods and CPUs, and puts into the address what is looked at", async () => {
    const { page } = await opened();
    await page.getByRole("searchbox").fill("pod-orders");
    await page.waitForSelector(".thread.found");
    const found = await page.evaluate<string[]>(
      "[...document.querySelectorAll('.machine .found')].map((one) => one.dataset.cpu)",
    );
    expect(found.map(Number).sort((a, b) => a - b)).to.deep.equal([16, 17, 48, 49]);
    expect(page.url()).to.include("q=pod-orders");
    const { page: again } = await opened({ hash: "#cpu=24" });
    expect(await again.locator("section[aria-labelledby=claims]").innerText()).to.include("shop/transcoder");
    expect(await again.locator("section[aria-labelledby=claims]").innerText()).to.not.include("shop/orders");
  });

  it("shows 512 CPUs, in a narrow window too, and nothing sticks out", async () => {
    board.shown = busy("epyc-9754-2s-512", [
      ["database", "8-15,264-271"],
      ["orders", "64-95"],
    ]);
    const { page } = await opened({ hash: "#fold=no", height: 1200 });
    expect(await count(page, ".machine .thread")).to.equal(512);
    await write(page, "page-512");
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 844 });
      expect(await page.evaluate("document.documentElement.scrollWidth"), `${width}`).to.be.at.most(width);
    }
    const { page: narrow } = await opened({ width: 390, height: 844 });
    expect(await narrow.evaluate("document.documentElement.scrollWidth")).to.be.at.most(390);
    expect(await violations(narrow)).to.deep.equal([]);
    await write(narrow, "page-narrow");
    // Idle cores that are alike are one.
    expect(await count(narrow, ".machine .thread")).to.be.below(200);
  });

  it("takes names as text, whatever they are", async () => {
    const shown = busy("usual", CLAIMS, { outside: "0-15" });
    board.shown = {
      ...shown,
      node: HOSTILE,
      claims: shown.claims.map((one) => ({ ...one, name: HOSTILE, pods: [HOSTILE] })),
      containers: shown.containers.map((one) => ({ ...one, pod: HOSTILE, problem: HOSTILE, partition: HOSTILE })),
      findings: shown.findings.map((one) => ({ ...one, text: HOSTILE, title: HOSTILE })),
      threads: shown.threads.map((one) => ({ ...one, wrong: [HOSTILE] })),
      machine: { ...shown.machine, about: HOSTILE, boxes: [{ ...shown.machine.boxes[0], names: [HOSTILE] } as never] },
    };
    board.tell({ kind: HOSTILE, text: HOSTILE, pod: HOSTILE, code: HOSTILE });
    const { page, odd } = await opened({ hash: `#q=${encodeURIComponent("<img")}` });
    expect(await count(page, "img")).to.equal(0);
    expect(await count(page, "script")).to.equal(1);
    expect(await page.title()).to.include("<img");
    expect(await page.locator("h1").innerText()).to.equal(HOSTILE);
    await page.getByLabel("as a table").check();
    await page.waitForSelector("caption");
    expect(await count(page, "img")).to.equal(0);
    expect(odd).to.deep.equal([]);
  });

  it("answers to localhost alone, and reads only", async () => {
    const asks = (method: string, host: string, path = "/picture"): Promise<number> =>
      new Promise((resolve, reject) => {
        request({ port: PORT, host: "127.0.0.1", path, method, headers: { host } }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        })
          .on("error", reject)
          .end();
      });
    expect(await asks("GET", "localhost:9999")).to.equal(200);
    expect(await asks("GET", "evil.example")).to.equal(403);
    expect(await asks("GET", "127.0.0.1.evil.example:18181")).to.equal(403);
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"])
      expect(await asks(method, "localhost"), method).to.equal(405);
    expect(await asks("GET", "localhost", "/../etc/passwd")).to.equal(404);
    const { headers } = await fetch(URL);
    expect(headers.get("content-security-policy")).to.include("default-src 'none'");
    expect(headers.get("access-control-allow-origin")).to.equal(null);
  });
});
