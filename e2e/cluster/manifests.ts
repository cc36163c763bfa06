import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { binary } from "../build/build.ts";
import { CHART, NAMESPACE, RELEASE } from "../kit/node/helm.ts";

const ROOT = join(import.meta.dirname, "..", "..");
export const INSTALL = join(ROOT, "install.yaml");
export const UNINSTALL = join(ROOT, "uninstall.yaml");
const MADE = "Made from charts/dra-driver-cpu by `node e2e/cluster/manifests.ts`.";

/** Real helm, without a cluster. @throws Error with what helm says. */
export function helm(...args: string[]): string {
  try {
    return execFileSync(binary("helm", "helm"), args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (cause) {
    throw new Error((cause as { stderr: string }).stderr, { cause });
  }
}

/** The objects that the chart makes of its values, hooks included. */
export function objects<T>(...args: string[]): T[] {
  const text = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, ...args);
  return parseAllDocuments(text).map((document) => document.toJS() as T);
}

function render(head: string, ...args: string[]): string {
  const rendered = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, ...args);
  return `${head}
apiVersion: v1
kind: Namespace
metadata:
  name: ${NAMESPACE}
  labels:
    # Its pods mount directories of the node.
    pod-security.kubernetes.io/enforce: privileged
${rendered.replaceAll("app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kubectl")}`;
}

/** The chart with its defaults, for people without helm. */
export function renderInstall(): string {
  return render(
    `# dra-driver-cpu for people without helm: kubectl apply -f install.yaml; charts/uninstall.sh takes it away. ${MADE}
# No registry has its images, localhost/dra-driver-cpu/driver and localhost/dra-driver-cpu/nri-agent: put them on each node, or push them to your registry
# (docs/install.md) and name that here: sed 's|localhost/dra-driver-cpu|registry.example.com/dra-driver-cpu|' install.yaml | kubectl apply -f -`,
    ...["--no-hooks", "--skip-tests"],
  );
}

/** Both steps that take it away, which charts/uninstall.sh goes one after the other. */
export function renderUninstall(): string {
  return render(
    `# What charts/uninstall.sh applies, step by step, to take away what install.yaml made. What was changed there besides images has to be changed here, too. ${MADE}`,
    ...["-s", "templates/uninstall-check.yaml", "-s", "templates/uninstall.yaml"],
  );
}

if (import.meta.main) {
  writeFileSync(INSTALL, renderInstall());
  writeFileSync(UNINSTALL, renderUninstall());
}
