import { DRIVER_SETTINGS, NODE_SETTINGS } from "@dracpu/driver/config/settings.ts";
import { AGENT_NODE_SETTINGS, AGENT_SETTINGS } from "@dracpu/nri-agent/config/settings.ts";
import type { Setting } from "@dracpu/shared-proto/settings/settings.ts";

/** Settings that the chart makes itself: paths that it mounts, ports that it opens, what the downward API tells, and who the pod is. */
export const OF_THE_CHART: readonly string[] = [
  ...["nodeName", "kubeletRootDir", "cdiDir", "kubeconfig", "agentSocket", "inspectSocket", "stateDir", "bindAddress"],
  ...["sysfsRoot", "sysfsOverlay", "nriSocket", "controlSocket", "cgroupRoot", "hostProc", "podUid"],
];

const text = { type: "string" };
const flag = { type: "boolean" };
const path = { type: "string", pattern: "^/[^\\s]+$" };
const count = { type: "integer", minimum: 0 };
const labels = { type: "object", additionalProperties: text };
/** What goes to Kubernetes whole, which checks it. */
const anything = { type: "object" };
const list = (items: object): object => ({ type: "array", items });
const closed = (properties: Readonly<Record<string, object>>, required: readonly string[] = []): object => ({
  type: "object",
  additionalProperties: false,
  properties,
  ...(required.length === 0 ? {} : { required }),
});

function settings(of: readonly Setting[]): object {
  const properties = of
    .filter((one) => !OF_THE_CHART.includes(one.key))
    .map((one): [string, object] => [
      one.key,
      {
        description: one.describe,
        ...(one.choices === undefined ? { type: one.type === "number" ? "integer" : one.type } : { enum: one.choices }),
      },
    ]);
  return closed(Object.fromEntries(properties));
}

const positive = { type: "integer", minimum: 1 };
/** Kubernetes' own, whose fields are no values of the chart, but may be misspelt as well. */
const OF_KUBERNETES = {
  // Without what it asks for, which is the chart's.
  probe: closed({
    initialDelaySeconds: count,
    periodSeconds: positive,
    timeoutSeconds: positive,
    successThreshold: positive,
    failureThreshold: positive,
    terminationGracePeriodSeconds: positive,
  }),
  variable: closed({ name: text, value: text, valueFrom: anything }, ["name"]),
  toleration: closed({
    key: text,
    operator: { enum: ["Exists", "Equal", "Lt", "Gt"] },
    value: text,
    effect: { enum: ["NoSchedule", "PreferNoSchedule", "NoExecute", ""] },
    tolerationSeconds: { type: "integer" },
  }),
  seLinuxOptions: closed({ user: text, role: text, type: text, level: text }),
} as const;
const kubernetes = (name: keyof typeof OF_KUBERNETES): object => ({ $ref: `#/$defs/${name}` });

const program = {
  image: text,
  port: { type: "integer", minimum: 1, maximum: 65535 },
  resources: anything,
  startupProbe: kubernetes("probe"),
  livenessProbe: kubernetes("probe"),
  readinessProbe: kubernetes("probe"),
  extraArgs: list(text),
  env: list(kubernetes("variable")),
};

/** Of `values.yaml`: closed, but for what Helm and parent charts put there, and for what goes to Kubernetes whole, such as affinity, resources and volumes. */
export const VALUES_SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Values of chart dra-driver-cpu",
  $defs: OF_KUBERNETES,
  ...closed({
    global: { description: "Of a parent chart; not looked at" },
    enabled: { description: "Of a parent chart's condition; not looked at" },
    nameOverride: text,
    fullnameOverride: text,
    documentation: { type: "string", pattern: "^$|^https?://[^\\s]*[^/\\s]$" },
    image: closed({ repository: text, tag: text, pullPolicy: { enum: ["Always", "IfNotPresent", "Never"] } }),
    imagePullSecrets: list(closed({ name: text }, ["name"])),
    config: closed({
      driver: settings(DRIVER_SETTINGS),
      perNode: list({
        ...closed(
          {
            matchLabels: { ...labels, minProperties: 1 },
            settings: settings(NODE_SETTINGS),
            agent: settings(AGENT_NODE_SETTINGS),
          },
          ["matchLabels"],
        ),
        anyOf: [{ required: ["settings"] }, { required: ["agent"] }],
      }),
      agent: settings(AGENT_SETTINGS),
    }),
    kubeletRootDir: path,
    nriDir: path,
    nriSocket: { type: "string", pattern: "^[^/]+$" },
    cdiDir: path,
    stateDir: path,
    runDir: path,
    cgroupDir: path,
    driver: closed(program),
    agent: closed({ ...program, partitions: flag, hostProc: flag }),
    updateStrategy: closed({
      type: { enum: ["RollingUpdate", "OnDelete"] },
      rollingUpdate: closed({
        maxUnavailable: {
          anyOf: [
            { type: "integer", minimum: 1 },
            { type: "string", pattern: "^[1-9][0-9]?%$|^100%$" },
          ],
        },
        // Two agents on one runtime make every container creation fail.
        maxSurge: { const: 0 },
      }),
    }),
    terminationGracePeriodSeconds: count,
    minReadySeconds: count,
    priorityClassName: text,
    resourceQuota: closed({ create: flag, pods: count }),
    nodeSelector: labels,
    affinity: anything,
    tolerations: list(kubernetes("toleration")),
    jobs: closed({
      tolerations: list(kubernetes("toleration")),
      user: { anyOf: [{ type: "integer", minimum: 1 }, { const: "" }] },
    }),
    podAnnotations: labels,
    podLabels: labels,
    extraVolumes: list(anything),
    extraVolumeMounts: list(anything),
    seLinuxOptions: kubernetes("seLinuxOptions"),
    serviceAccount: closed({ annotations: labels }),
    rbac: closed({ create: flag }),
    admissionPolicy: closed({ create: flag }),
    deviceClasses: closed({ create: flag, annotations: labels }),
    podMonitor: closed({ enabled: flag, interval: text, labels }),
    alerts: closed({ enabled: flag, labels, runbooks: text }),
    dashboard: closed({ enabled: flag, labels }),
    networkPolicy: closed({ enabled: flag, from: list(anything) }),
    test: closed({ cpus: { type: "integer", minimum: 1 } }),
    uninstall: closed({ hooks: flag, force: flag, timeoutSeconds: count }),
  }),
} as const;
