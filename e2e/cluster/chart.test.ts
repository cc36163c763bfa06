import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { parseAllDocuments } from "yaml";
import { CHART } from "../kit/node/helm.ts";
import { helm, INSTALL, renderInstall } from "./manifests.ts";

interface PodSpec {
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken: boolean;
  readonly priorityClassName?: string;
  readonly tolerations?: readonly object[];
  readonly volumes?: readonly { readonly name: string; readonly projected?: object }[];
  readonly containers: readonly { readonly args: readonly string[] }[];
}

interface Rendered {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly { readonly resources: readonly string[]; readonly resourceNames?: readonly string[] }[];
  readonly spec?: { readonly template?: { readonly metadata: Rendered["metadata"]; readonly spec: PodSpec } };
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

  it("has names and labels that fit, however long its own is", () => {
    const all = render("rel", "--set", `fullnameOverride=${"x".repeat(80)}`, "--set", "dashboard.enabled=true");
    const texts = all.flatMap(({ metadata, spec }) => [
      metadata.name,
      ...Object.values({ ...metadata.labels, ...spec?.template?.metadata.labels }),
    ]);
    expect(texts.filter((text) => text.length > 63)).to.deep.equal([]);
    expect(Math.max(...texts.map((text) => text.length)), "the longest").to.equal(63);
  });

  describe("uninstalling", () => {
    const named = (all: readonly Rendered[], kind: string, name: string): Rendered =>
      all.find((one) => one.kind === kind && one.metadata.name === `rel-dra-driver-cpu-${name}`) ??
      expect.fail(`no ${kind} ${name}`);
    const podOf = (one: Rendered): PodSpec => one.spec?.template?.spec ?? expect.fail("no pod");
    const policy = "helm.sh/hook-delete-policy";

    it("cleans by pods that have no credentials, need no quota, and that helm does not end", () => {
      const all = render("rel", "--set", "resourceQuota.create=true");
      const pod = podOf(named(all, "DaemonSet", "uninstall"));
      expect(pod).not.to.have.any.keys("serviceAccountName", "priorityClassName");
      expect(pod.automountServiceAccountToken).to.equal(false);
      expect(pod.volumes?.filter((one) => one.projected !== undefined)).to.deep.equal([]);
      for (const kind of ["DaemonSet", "ConfigMap"])
        expect(named(all, kind, "uninstall").metadata.annotations?.[policy]).to.equal("before-hook-creation");
      const mine = { resourceNames: ["rel-dra-driver-cpu-uninstall"] };
      expect(named(all, "Role", "uninstall").rules?.slice(0, 2)).to.deep.equal([
        { apiGroups: ["apps"], resources: ["daemonsets"], verbs: ["get", "delete"], ...mine },
        { apiGroups: [""], resources: ["configmaps"], verbs: ["delete"], ...mine },
      ]);
    });

    it("asks for the claims of its own nodes by an account that can only read, and knows the release", () => {
      const all = render("rel");
      const { serviceAccountName, containers } = podOf(named(all, "Job", "uninstall-check"));
      expect(serviceAccountName).to.equal("rel-dra-driver-cpu-uninstall-check");
      expect(containers[0]?.args).to.deep.equal([
        ...["uninstall", "check", "--daemonset=ns/rel-dra-driver-cpu", "--release=ns/rel"],
      ]);
      for (const kind of ["ClusterRole", "Role"])
        expect(JSON.stringify(named(all, kind, "uninstall-check").rules)).not.to.match(/delete|patch|update|create/);
    });

    it("and proving itself run where pods belong, by tolerations of their own", () => {
      const tolerations = (...args: string[]): unknown[] => {
        const all = render("rel", "--set", "tolerations[0].operator=Exists", ...args);
        const test = named(all, "Pod", "test").spec as unknown as PodSpec;
        const jobs = ["uninstall-check", "uninstall-wait"].map((name) => podOf(named(all, "Job", name)));
        return [...jobs, test].map((one) => one.tolerations?.map((each) => JSON.stringify(each)).join() ?? "none");
      };
      const control = '{"effect":"NoSchedule","key":"node-role.kubernetes.io/control-plane","operator":"Exists"}';
      expect(tolerations()).to.deep.equal([control, control, control]);
      expect(tolerations("--set-json", "jobs.tolerations=[]")).to.deep.equal(["none", "none", "none"]);
    });
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
