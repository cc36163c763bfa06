import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { parse, parseAllDocuments } from "yaml";
import { CHART } from "../kit/node/helm.ts";
import { helm, INSTALL, renderInstall } from "./manifests.ts";

const SECURITY = join(CHART, "..", "..", "docs", "security.md");

interface PodSpec {
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken: boolean;
  readonly priorityClassName?: string;
  readonly tolerations?: readonly object[];
  readonly volumes?: readonly { readonly name: string; readonly projected?: object }[];
  readonly securityContext?: object;
  readonly initContainers?: readonly { readonly name: string }[];
  readonly containers: readonly { readonly args: readonly string[]; readonly securityContext?: object }[];
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
  readonly automountServiceAccountToken?: boolean;
  readonly subjects?: readonly { readonly name: string }[];
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
      ["config.perNode[0].matchLabels.a=b", "settings"],
      ["config.perNode[0].matchLabels.a=b,config.perNode[0].agent.pluginIndex=20", "pluginIndex"],
      ["kubeletRootDir=var/lib/kubelet", "kubeletRootDir"],
      ["driver.startupProbe.failureThreshhold=3", "failureThreshhold"],
      ["agent.livenessProbe.periodSeconds=0", "periodSeconds"],
      // What is asked for is the chart's.
      ["agent.readinessProbe.httpGet.path=/x", "httpGet"],
      ["driver.env[0].name=A,driver.env[0].vale=b", "vale"],
      ["agent.env[0].value=b", "name"],
      ["tolerations[0].operater=Exists", "operater"],
      ["tolerations[0].effect=NoExecut", "effect"],
      ["jobs.tolerations[0].operator=Exist", "operator"],
      ["jobs.user=0", "user"],
      ["seLinuxOptions.typ=spc_t", "typ"],
      ["imagePullSecrets[0].nam=registry", "nam"],
      [`kubeletRootDir=/${"x".repeat(80)}`, "more than 107 bytes"],
    ] as const)
      expect(() => render("rel", "--set", value), value).to.throw(says);
    // What Kubernetes has in these is taken, and no more is asked of what goes there whole.
    for (const value of [
      'driver.livenessProbe={"initialDelaySeconds":0,"successThreshold":1,"terminationGracePeriodSeconds":5}',
      'driver.env=[{"name":"A","value":""},{"name":"B","valueFrom":{"fieldRef":{"fieldPath":"status.hostIP"}}}]',
      'tolerations=[{"key":"a","operator":"Equal","value":"b","effect":"NoExecute","tolerationSeconds":30}]',
      'seLinuxOptions={"user":"system_u","role":"system_r","type":"spc_t","level":"s0"}',
      "seLinuxOptions={}",
      'agent.resources={"limits":{"memory":"128Mi"}}',
      'affinity={"podAffinity":{}}',
    ])
      expect(() => render("rel", "--set-json", value), value).not.to.throw();
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

  it("puts a label that one's own scripts look for on the driver's pods, by a value", () => {
    const daemonset = render("rel", "--set", "podLabels.app=dracpu").find((one) => one.kind === "DaemonSet");
    expect(daemonset?.spec?.template?.metadata.labels).to.include({
      app: "dracpu",
      "app.kubernetes.io/instance": "rel",
    });
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
      expect(pod).not.to.have.any.keys("priorityClassName");
      expect(pod.automountServiceAccountToken).to.equal(false);
      expect(pod.volumes?.filter((one) => one.projected !== undefined)).to.deep.equal([]);
      // Of an account of their own, which no binding names, and which is there as long as they may be.
      expect(pod.serviceAccountName).to.equal("rel-dra-driver-cpu-uninstall-clean");
      const account = named(all, "ServiceAccount", "uninstall-clean");
      expect(account.automountServiceAccountToken).to.equal(false);
      expect(account.metadata.annotations?.["helm.sh/hook-weight"]).to.equal("-10");
      const bound = all.flatMap(({ subjects = [] }) => subjects.map(({ name }) => name));
      expect(bound).to.include("rel-dra-driver-cpu-uninstall").and.not.include(account.metadata.name);
      for (const one of [account, ...["DaemonSet", "ConfigMap"].map((kind) => named(all, kind, "uninstall"))])
        expect(one.metadata.annotations?.[policy]).to.equal("before-hook-creation");
      const mine = { resourceNames: ["rel-dra-driver-cpu-uninstall"] };
      expect(named(all, "Role", "uninstall").rules?.slice(0, 3)).to.deep.equal([
        { apiGroups: ["apps"], resources: ["daemonsets"], verbs: ["get", "delete"], ...mine },
        { apiGroups: [""], resources: ["configmaps"], verbs: ["delete"], ...mine },
        { apiGroups: [""], resources: ["serviceaccounts"], verbs: ["delete"], resourceNames: [account.metadata.name] },
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

  it("runs what asks the cluster, or proves itself, as a user that a cluster may choose instead", () => {
    const users = (...args: string[]): unknown[] =>
      render("rel", ...args).flatMap(({ kind, spec }) => {
        const pod = kind === "Pod" ? (spec as unknown as PodSpec) : kind === "Job" ? spec?.template?.spec : undefined;
        return pod === undefined ? [] : [[pod.securityContext, pod.containers[0]?.securityContext]];
      });
    const seccompProfile = { type: "RuntimeDefault" };
    const closed = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } };
    const wanted = (own: object, ofAll: object): unknown[] => [
      [{ seccompProfile }, { ...own, runAsNonRoot: true, ...closed }],
      [{ ...ofAll, runAsNonRoot: true, seccompProfile }, closed],
      [{ ...ofAll, runAsNonRoot: true, seccompProfile }, closed],
    ];
    const as = (user: number): unknown[] =>
      wanted({ runAsUser: user }, { runAsUser: user, runAsGroup: user, fsGroup: user });
    expect(users()).to.deep.equal(as(65534));
    expect(users("--set", "jobs.user=1000650000")).to.deep.equal(as(1000650000));
    expect(users("--set", "jobs.user=")).to.deep.equal(wanted({}, {}));
    // As in a release of before this value that is upgraded with --reuse-values.
    expect(users("--set", "jobs.user=null")).to.deep.equal(as(65534));
  });

  it("sets no SELinux type where none is wanted, as docs/security.md has it", () => {
    const said = /`seLinuxOptions`; `(\S+)` takes it away/.exec(readFileSync(SECURITY, "utf8"))?.[1];
    const types = (...args: string[]): number =>
      JSON.stringify(render("rel", ...args)).split('"seLinuxOptions":{"type":"spc_t"}').length - 1;
    expect([types(), types("--set-json", `seLinuxOptions=${said}`)]).to.deep.equal([2, 0]);
  });

  it("puts settings into the programs' configuration, by the schema that they read", () => {
    const perNode = "config.perNode[0].matchLabels.a=b,config.perNode[0].settings.groupBy=machine";
    const set = ["--set", "config.driver.groupBy=l3cache,config.agent.lever=file", "--set", perNode];
    const data = render("rel", ...set).find((one) => one.metadata.name === "rel-dra-driver-cpu-config")?.data ?? {};
    expect(data["driver.yaml"]).to.include("groupBy: l3cache\n").and.include("perNode:\n- matchLabels:\n    a: b\n");
    expect(data["agent.yaml"]).to.include("lever: file\n").and.not.include("perNode");
  });

  it("has the node's labels fetched before the agent starts where settings of the agent go by them, and nowhere else", () => {
    const entry = (n: number, what: string): string[] => ["--set", `config.perNode[${n}].${what}`];
    const ofDriver = [...entry(0, "matchLabels.a=b"), ...entry(0, "settings.groupBy=machine")];
    const ofAgent = [...entry(1, "matchLabels.c=d"), ...entry(1, "agent.pinMemory=true")];
    const steps = (...args: string[]): (readonly [string, readonly string[]])[] =>
      render("rel", ...args)
        .filter(({ kind }) => kind === "DaemonSet")
        .map(({ metadata, spec }) => [
          metadata.name,
          spec?.template?.spec.initContainers?.map((one) => one.name) ?? [],
        ]);
    const cleanUp = ["rel-dra-driver-cpu-uninstall", ["nri-agent"]] as const;
    expect(steps(...ofDriver)).to.have.deep.members([["rel-dra-driver-cpu", ["nri-agent"]], cleanUp]);
    const both = ["node-labels", "nri-agent"];
    expect(steps(...ofDriver, ...ofAgent)).to.have.deep.members([["rel-dra-driver-cpu", both], cleanUp]);
    const found = render("rel", ...ofDriver, ...ofAgent).find(
      (one) => one.metadata.name === "rel-dra-driver-cpu-config",
    );
    const perNode = (file: string): unknown => (parse(found?.data?.[file] ?? "") as { perNode: unknown }).perNode;
    // The driver's start does not wait for labels that it does not go by.
    expect(perNode("driver.yaml")).to.deep.equal([{ matchLabels: { a: "b" }, settings: { groupBy: "machine" } }]);
    expect(perNode("agent.yaml")).to.deep.equal([{ matchLabels: { c: "d" }, settings: { pinMemory: true } }]);
  });

  it("renders what is asked for without asking the cluster: monitor, network policy, quota", () => {
    const on = ["podMonitor.enabled=true", "networkPolicy.enabled=true", "resourceQuota.create=true"];
    const kinds = render("rel", ...on.flatMap((one) => ["--set", one])).map((one) => one.kind);
    expect(kinds).to.include.members(["PodMonitor", "NetworkPolicy", "ResourceQuota"]);
    const off = ["rbac.create=false", "admissionPolicy.create=false", "uninstall.hooks=false"];
    const fewer = render("rel", ...off.flatMap((one) => ["--set", one]));
    expect(fewer.map((one) => one.kind)).not.to.include.oneOf(["ClusterRole", "ValidatingAdmissionPolicy", "Job"]);
    const hooks = fewer.flatMap(({ metadata }) => metadata.annotations?.["helm.sh/hook"] ?? []);
    expect(new Set(hooks), "for tools that take hooks for their own").to.deep.equal(new Set(["test"]));
  });
});
