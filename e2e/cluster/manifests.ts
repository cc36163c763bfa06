import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary } from "../build/build.ts";
import { CHART, NAMESPACE, RELEASE } from "../kit/node/helm.ts";

export const INSTALL = join(import.meta.dirname, "..", "..", "install.yaml");

/** Real helm, without a cluster. @throws Error with what helm says. */
export function helm(...args: string[]): string {
  try {
    return execFileSync(binary("helm", "helm"), args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (cause) {
    throw new Error((cause as { stderr: string }).stderr, { cause });
  }
}

/** The chart with its defaults, for people without helm. */
export function renderInstall(): string {
  const rendered = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, "--no-hooks", "--skip-tests");
  return `# dra-driver-cpu for people without helm: kubectl apply -f install.yaml. Made from charts/dra-driver-cpu by \`node e2e/cluster/manifests.ts\`.
apiVersion: v1
kind: Namespace
metadata:
  name: ${NAMESPACE}
  labels:
    # Its pods mount directories of the node.
    pod-security.kubernetes.io/enforce: privileged
${rendered.replaceAll("app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kubectl")}`;
}

if (import.meta.main) writeFileSync(INSTALL, renderInstall());
