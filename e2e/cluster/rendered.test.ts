import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimsInUse, nodesLeft } from "@dracpu/driver/compose/uninstall.ts";
import type { DriverSettings } from "@dracpu/driver/config/settings.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { createLog } from "@dracpu/shared-proto/observe/log.ts";
import { expect } from "chai";
import { CHART, NAMESPACE, RELEASE } from "../kit/node/helm.ts";
import { helm, objects, renderUninstall, UNINSTALL } from "./manifests.ts";
import { driverRights, jobRights, type Right } from "./rightsused.ts";

interface PodSpec {
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly affinity?: object;
  readonly containers: readonly { readonly args: readonly string[] }[];
  readonly initContainers?: readonly { readonly volumeMounts: readonly { readonly name: string }[] }[];
}
interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}
interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly object[];
  readonly spec?: PodSpec & { readonly template?: { readonly spec: PodSpec } };
}

const set = (...values: string[]): string[] => values.flatMap((value) => ["--set", value]);
const templates = (all: readonly Rendered[]): (readonly [string, PodSpec])[] =>
  all.flatMap(({ kind, metadata, spec }) => {
    const pod = kind === "Pod" ? spec : spec?.template?.spec;
    return pod === undefined ? [] : [[`${kind} ${metadata.name.replace(RELEASE, "…")}`, pod] as const];
  });

// What real helm makes of the chart, without a cluster.
describe("what the chart renders", function () {
  this.timeout(60_000);

  it("is what uninstall.yaml was made from", () => {
    expect(readFileSync(UNINSTALL, "utf8"), "run: node e2e/cluster/manifests.ts").to.equal(renderUninstall());
  });

  it("keeps every pod to Linux, whatever else is asked for", () => {
    const linux = { "kubernetes.io/os": "linux" };
    const chosen = templates(objects<Rendered>(...set("nodeSelector.a=b", "nodeSelector.kubernetes\\.io/os=windows")));
    expect(Object.fromEntries(chosen.map(([name, pod]) => [name, pod.nodeSelector]))).to.deep.equal({
      "DaemonSet …": { ...linux, a: "b" },
      "DaemonSet …-uninstall": { ...linux, a: "b" },
      "Job …-uninstall-check": linux,
      "Job …-uninstall-wait": linux,
      "Pod …-test": { ...linux, a: "b" },
    });
    // As with a key in a file of values that has nothing after it.
    const none = templates(objects<Rendered>(...set("nodeSelector=null")));
    expect(none.map(([, pod]) => pod.nodeSelector)).to.deep.equal(none.map(() => linux));
  });

  it("keeps off nodes that run no DaemonSet, and cleans where the driver was, whatever else is asked for", () => {
    const affinities = (...args: string[]): (object | undefined)[] =>
      templates(objects<Rendered>(...args)).flatMap(([name, pod]) => (name.startsWith("Daemon") ? [pod.affinity] : []));
    const nodes = (nodeSelectorTerms: object[]): object => ({
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
    });
    const matchExpressions = [
      { key: "eks.amazonaws.com/compute-type", operator: "NotIn", values: ["fargate"] },
      { key: "type", operator: "NotIn", values: ["virtual-kubelet"] },
    ];
    const byDefault = nodes([{ matchExpressions }]);
    expect(affinities()).to.deep.equal([byDefault, byDefault]);
    const own = nodes([{ matchExpressions: [{ key: "a", operator: "Exists" }] }]);
    expect(affinities("--set-json", `affinity=${JSON.stringify(own)}`)).to.deep.equal([own, own]);
    expect(affinities(...set("affinity=null"))).to.deep.equal([undefined, undefined]);
  });

  it("writes nothing beside the runtime's NRI socket", () => {
    const mounts = templates(objects<Rendered>())
      .flatMap(([, pod]) => pod.initContainers ?? [])
      .flatMap((one) => one.volumeMounts.filter(({ name }) => name === "nri"));
    const mount = { name: "nri", mountPath: "/var/run/nri", readOnly: true };
    expect(mounts).to.deep.equal([mount, mount]);
  });

  it("refuses a surge, and a quota of no class, in words", () => {
    expect(() => objects(...set("updateStrategy.rollingUpdate.maxSurge=1"))).to.throw("/maxSurge': value must be 0");
    expect(() => objects(...set("updateStrategy.rollingUpdate.maxsurge=0"))).to.throw("maxsurge");
    expect(() => objects(...set("updateStrategy.type=Recreate"))).to.throw("/updateStrategy/type");
    expect(() => objects(...set("resourceQuota.create=true", "priorityClassName="))).to.throw(
      "resourceQuota.create needs a priorityClassName",
    );
    for (const right of ["maxUnavailable=3", "maxUnavailable=25%"])
      expect(() => objects(...set(`updateStrategy.rollingUpdate.${right}`))).not.to.throw();
  });

  it("links alerts to the documents where somebody has them, and nowhere else", () => {
    const links = (...values: string[]): string[] => {
      const text = JSON.stringify(objects(...set("alerts.enabled=true", ...values)));
      expect(text).to.include("PrometheusRule").and.not.include("RUNBOOKS");
      return [...text.matchAll(/"runbook_url":"([^#"]*)/g)].map(([, url = ""]) => url);
    };
    expect(links()).to.deep.equal([]);
    const there = links("documentation=https://docs.example.com/x");
    expect(new Set(there)).to.deep.equal(new Set(["https://docs.example.com/x/codes.md"]));
    const own = links("documentation=https://docs.example.com/x", "alerts.runbooks=https://wiki/cpus");
    expect(new Set(own)).to.deep.equal(new Set(["https://wiki/cpus"]));
    expect(() => links("documentation=docs/")).to.throw("documentation");
  });

  it("tells of images that no registry has, and where the documents are", () => {
    const notes = (...values: string[]): string => {
      const text = helm("install", RELEASE, CHART, "--dry-run=client", "-n", "kube-system", ...set(...values));
      return text.slice(text.indexOf("\nNOTES:"));
    };
    expect(notes()).to.include(
      `No registry has localhost/dra-driver-cpu/driver:${VERSION} and localhost/dra-driver-cpu/nri-agent:${VERSION}:`,
    );
    expect(notes()).to.include("Both are in the driver's sources.");
    const own = notes("image.repository=registry.example.com/cpu", "documentation=https://docs.example.com/x");
    expect(own).not.to.include("WARNING");
    expect(own)
      .to.include("symptom: https://docs.example.com/x/troubleshooting.md.")
      .and.not.include("driver's sources");
  });

  it("is packed whole, and nothing else with it: what it renders from the package is the same", () => {
    const dir = mkdtempSync(join(tmpdir(), "chart-"));
    try {
      helm("package", CHART, "--destination", dir);
      const packed = join(dir, `dra-driver-cpu-${VERSION}.tgz`);
      const listed = execFileSync("tar", ["-tzf", packed], { encoding: "utf8" }).trim().split("\n");
      const kept = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "."], {
        cwd: CHART,
        encoding: "utf8",
      });
      const wanted = kept
        .trim()
        .split("\n")
        .map((path) => `dra-driver-cpu/${path}`);
      expect(listed.toSorted()).to.deep.equal(wanted.filter((path) => !path.endsWith("/.helmignore")).toSorted());
      expect(listed).to.include.members(
        ["LICENSE", "README.md", "values.schema.json"].map((one) => `dra-driver-cpu/${one}`),
      );
      const rendered = (chart: string): string => helm("template", RELEASE, chart, "-n", NAMESPACE);
      expect(rendered(packed)).to.equal(rendered(CHART));
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("grants each account what its program asks for, and nothing else", async () => {
    const all = objects<Rendered>();
    const log = createLog({ level: "error", program: "rights" });
    const settings = (kubeconfig: string): DriverSettings => ({ kubeconfig }) as DriverSettings;
    const daemonSetOf = (job: string): { namespace: string; name: string } => {
      const args =
        all.find(({ kind, metadata }) => kind === "Job" && metadata.name === job)?.spec?.template?.spec.containers[0]
          ?.args ?? [];
      const [namespace = "", name = ""] =
        args
          .find((one) => one.startsWith("--daemonset="))
          ?.slice(12)
          .split("/") ?? [];
      return { namespace, name };
    };
    const [check, wait] = ["check", "wait"].map((step) => daemonSetOf(`${RELEASE}-uninstall-${step}`));
    if (check === undefined || wait === undefined) throw new Error("no Jobs");
    const used: Readonly<Record<string, readonly Right[]>> = {
      [RELEASE]: await driverRights(),
      [`${RELEASE}-uninstall-check`]: await jobRights((path) => claimsInUse(settings(path), check, log)),
      [`${RELEASE}-uninstall`]: await jobRights(async (path) =>
        expect(await nodesLeft(settings(path), wait, 10_000, log)).to.equal(""),
      ),
    };
    const roles = all.filter(({ kind }) => /^(Cluster)?Role$/.test(kind));
    expect([...new Set(roles.map((one) => one.metadata.name))].toSorted()).to.deep.equal(Object.keys(used).toSorted());
    for (const [name, rights] of Object.entries(used)) {
      const granted = roles
        .filter((one) => one.metadata.name === name)
        .flatMap(({ rules = [], metadata: { namespace = "" } }) =>
          rules.flatMap(({ apiGroups, resources, verbs, resourceNames = [""] }) =>
            apiGroups.flatMap((group) =>
              resources.flatMap((resource) =>
                verbs.flatMap((verb) =>
                  resourceNames.map((one): Right => ({ verb, resource, group, namespace, name: one })),
                ),
              ),
            ),
          ),
        );
      // Of the release's own namespace a Role is enough.
      const isFor = (grant: Right, right: Right): boolean =>
        (["verb", "resource", "group"] as const).every((key) => grant[key] === right[key]) &&
        grant.namespace === (right.namespace === NAMESPACE ? NAMESPACE : "") &&
        (grant.name === "" || grant.name === right.name);
      expect(
        {
          missing: rights.filter((right) => !granted.some((grant) => isFor(grant, right))),
          unused: granted.filter((grant) => !rights.some((right) => isFor(grant, right))),
        },
        name,
      ).to.deep.equal({ missing: [], unused: [] });
      for (const { roleRef, subjects, metadata } of all.filter((one) => one.roleRef?.name === name))
        expect([metadata.name, subjects, roleRef?.name]).to.deep.equal([
          name,
          [{ kind: "ServiceAccount", name, namespace: NAMESPACE }],
          name,
        ]);
    }
  });
});
