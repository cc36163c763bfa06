import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { cacheDir } from "../build/cache.ts";
import { machineNamed } from "../demo/machines.ts";
import { EmbeddedNode } from "../kit/embedded/node.ts";
import { startDaemon, until, type Daemon } from "../kit/node/processes.ts";
import { dashboard, QUERIES } from "./dashboard.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const FILES = join(ROOT, "charts", "dra-driver-cpu", "files");
const main = (name: string): string[] => [process.execPath, join(ROOT, name, "src", "main.ts")];
const DRIVER = 18_191;
const AGENT = 18_192;
const PROMETHEUS = 18_193;

/** Debian's Prometheus, from the cache or the PATH. @throws Error that says how to get it. */
function program(name: "prometheus" | "promtool"): string {
  const cached = join(cacheDir(), "prometheus", "usr", "bin", name);
  const found = [cached, `/usr/bin/${name}`].find((path) => existsSync(path));
  if (found === undefined) throw new Error(`There is no ${name}; e2e/build/system.sh gets Debian's`);
  return found;
}

describe("alerts and dashboard", function () {
  this.timeout(120_000);
  const dir = mkdtempSync(join(tmpdir(), "mo-"));
  after(() => rmSync(dir, { recursive: true, force: true }));

  it("alerts fire and stay silent as they should", () => {
    copyFileSync(join(FILES, "alerts.yaml"), join(dir, "alerts.yaml"));
    copyFileSync(join(import.meta.dirname, "alerts.test.yaml"), join(dir, "tests.yaml"));
    expect(
      execFileSync(program("promtool"), ["check", "rules", "alerts.yaml"], { cwd: dir, encoding: "utf8" }),
    ).to.include("SUCCESS");
    execFileSync(program("promtool"), ["test", "rules", "tests.yaml"], { cwd: dir, stdio: "pipe" });
    // Each of them is tested both ways.
    const alerts = [...readFileSync(join(FILES, "alerts.yaml"), "utf8").matchAll(/alert: (\w+)/g)].map(
      ([, name]) => name,
    );
    const tests = readFileSync(join(import.meta.dirname, "alerts.test.yaml"), "utf8");
    for (const alert of alerts) {
      const cases = tests.split(`alertname: ${alert}\n`).slice(1);
      expect(
        cases.some((one) => !/^\s*eval_time: \S+\s+exp_alerts: \[\]/.test(one)),
        `${alert ?? ""} fires`,
      ).to.equal(true);
    }
  });

  it("the dashboard is the one that its source makes", () => {
    const path = join(FILES, "dashboard.json");
    // `DRACPU_WRITE=1 npm run test:monitoring` writes it anew.
    if (process.env["DRACPU_WRITE"] !== undefined)
      writeFileSync(path, `${JSON.stringify(dashboard(), undefined, 2)}\n`);
    expect(JSON.parse(readFileSync(path, "utf8"))).to.deep.equal(dashboard());
  });

  describe("on a node that is scraped", () => {
    const { text, online } = machineNamed("usual");
    const node = new EmbeddedNode({
      machine: text,
      online,
      driver: main("driver"),
      agent: main("nri-agent"),
      agentAddress: `127.0.0.1:${AGENT}`,
      flags: { "--bind-address": `127.0.0.1:${DRIVER}` },
    });
    let prometheus: Daemon;
    const ask = async (expr: string): Promise<readonly unknown[]> => {
      const url = `http://127.0.0.1:${PROMETHEUS}/api/v1/query?query=${encodeURIComponent(expr)}`;
      const answer = (await (await fetch(url)).json()) as {
        status: string;
        error?: string;
        data?: { result: unknown[] };
      };
      if (answer.status !== "success") throw new Error(`${expr}: ${answer.error ?? ""}`);
      return answer.data?.result ?? [];
    };
    before(async () => {
      const target = (port: number): object => ({ targets: [`127.0.0.1:${port}`], labels: { node: "node-1" } });
      const config = {
        global: { scrape_interval: "1s", evaluation_interval: "1s" },
        rule_files: [join(FILES, "alerts.yaml")],
        scrape_configs: [{ job_name: "dra-driver-cpu", static_configs: [target(DRIVER), target(AGENT)] }],
      };
      writeFileSync(join(dir, "prometheus.yaml"), JSON.stringify(config));
      await node.start();
      const argv = [`--config.file=${join(dir, "prometheus.yaml")}`, `--storage.tsdb.path=${join(dir, "data")}`];
      prometheus = startDaemon(
        "prometheus",
        [program("prometheus"), ...argv, `--web.listen-address=127.0.0.1:${PROMETHEUS}`],
        { logDir: dir },
      );
      await node.submit({ namespace: "shop", name: "web", containers: ["main"] });
      await node.submit({ namespace: "shop", name: "db", containers: ["main"], claim: { cpus: 4 } });
      await until("it has scraped both", async () => (await ask("up == 1")).length === 2, 30_000, 200);
      // Something to be refused and something wrong, so that every query has an answer.
      const stranger = node.containers.pod("shop", "stranger");
      await node.runtime
        .create(stranger, { id: "x", podSandboxId: stranger.id, name: "x", env: [`DRA_CPUSET_${stranger.uid}=0`] })
        .then(
          () => expect.fail("a forged variable is refused"),
          () => undefined,
        );
      await node.kill("driver");
      await node.startDriver();
      const second = await node.submit({ namespace: "shop", name: "two", containers: ["main"], claim: { cpus: 2 } });
      await node.remove(second);
      await node.kubelet.register("plugin version not supported");
    });
    after(async () => {
      await prometheus.stop();
      await node.end();
    });

    it("every query of the dashboard has an answer", async () => {
      const empty = async (): Promise<string[]> => {
        const answers = await Promise.all(
          QUERIES.map(async (expr) => {
            const asked = expr.replaceAll("$node", ".*").replaceAll("$__rate_interval", "1m");
            return { expr, count: (await ask(asked)).length };
          }),
        );
        return answers.filter((one) => one.count === 0).map((one) => one.expr);
      };
      await until("all have", async () => (await empty()).length === 0, 30_000, 500).catch(() => undefined);
      expect(await empty()).to.deep.equal([]);
    });

    it("what is wrong is pending as an alert, with its code", async () => {
      const pending = async (): Promise<boolean> => (await ask('ALERTS{code="DRACPU-401"}')).length > 0;
      await until("the alert is pending", pending, 90_000, 1000);
    });
  });
});
