import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { parseAllDocuments } from "yaml";
import { CHART } from "../kit/node/helm.ts";
import { helm, INSTALL, renderInstall } from "./manifests.ts";

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
}

function render(release: string, ...args: string[]): Rendered[] {
  return parseAllDocuments(helm("template", release, CHART, "--namespace", "ns", ...args)).map(
    (document) => document.toJS() as Rendered,
  );
}

describe("the chart, with real helm", function () {
  this.timeout(60_000);

  it("passes helm lint, strictly", () => {
    expect(helm("lint", "--strict", CHART)).to.include("1 chart(s) linted, 0 chart(s) failed");
  });

  it("is what install.yaml was made from", () => {
    expect(readFileSync(INSTALL, "utf8"), "run: node e2e/cluster/manifests.ts").to.equal(renderInstall());
  });

  it("refuses misspelt, unknown and mistyped values, also deep in the programs' settings", () => {
    for (const [value, says] of [
      ["imagee.tag=x", "imagee"],
      ["config.driver.groupby=machine", "groupby"],
      ["config.driver.groupBy=rack", "groupBy"],
      ["config.driver.stateDir=/x", "stateDir"],
      ["config.agent.lever=crowbar", "lever"],
      ["config.perNode[0].settings.groupBy=machine", "matchLabels"],
      ["kubeletRootDir=var/lib/kubelet", "kubeletRootDir"],
      [`kubeletRootDir=/${"x".repeat(80)}`, "more than 107 bytes"],
    ] as const)
      expect(() => render("rel", "--set", value), value).to.throw(says);
  });

  it("is a part of another chart, switched on there and with globals there", () => {
    const dir = mkdtempSync(join(tmpdir(), "parent-"));
    try {
      mkdirSync(join(dir, "charts"));
      cpSync(CHART, join(dir, "charts", "dra-driver-cpu"), { recursive: true });
      const dependencies = "dependencies: [{name: dra-driver-cpu, version: 0.1.0, condition: dra-driver-cpu.enabled}]";
      writeFileSync(join(dir, "Chart.yaml"), `apiVersion: v2\nname: parent\nversion: 1.0.0\n${dependencies}\n`);
      const values = "global: {registry: x}\ndra-driver-cpu: {enabled: true, image: {tag: mine}}\n";
      writeFileSync(join(dir, "values.yaml"), values);
      expect(helm("template", "rel", dir)).to.include("localhost/dra-driver-cpu/driver:mine");
      expect(helm("template", "rel", dir, "--set", "dra-driver-cpu.enabled=false")).not.to.include("DaemonSet");
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("names what belongs to the whole cluster after the release, but for the classes that claims name", () => {
    const names = (release: string): string[] =>
      render(release, "--set", "deviceClasses.create=false")
        .filter((one) => one.metadata.namespace === undefined)
        .map((one) => `${one.kind} ${one.metadata.name}`);
    expect(names("one").filter((name) => names("two").includes(name))).to.deep.equal([]);
    expect(names("one")).not.to.deep.equal([]);
  });

  it("puts settings into the programs' configuration, by the schema that they read", () => {
    const perNode = "config.perNode[0].matchLabels.a=b,config.perNode[0].settings.groupBy=machine";
    const set = ["--set", "config.driver.groupBy=l3cache,config.agent.lever=file", "--set", perNode];
    const data = render("rel", ...set).find((one) => one.metadata.name === "rel-dra-driver-cpu-config")?.data ?? {};
    expect(data["driver.yaml"]).to.include("groupBy: l3cache\n").and.include("perNode:\n- matchLabels:\n    a: b\n");
    expect(data["agent.yaml"]).to.include("lever: file\n");
  });

  it("renders what is asked for without asking the cluster: monitor, network policy, quota", () => {
    const on = ["podMonitor.enabled=true", "networkPolicy.enabled=true", "resourceQuota.create=true"];
    const kinds = render("rel", ...on.flatMap((one) => ["--set", one])).map((one) => one.kind);
    expect(kinds).to.include.members(["PodMonitor", "NetworkPolicy", "ResourceQuota"]);
    const off = ["rbac.create=false", "admissionPolicy.create=false", "uninstall.hooks=false"];
    const fewer = render("rel", ...off.flatMap((one) => ["--set", one])).map((one) => one.kind);
    expect(fewer).not.to.include.oneOf(["ClusterRole", "ValidatingAdmissionPolicy", "Job"]);
  });
});
