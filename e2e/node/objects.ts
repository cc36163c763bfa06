import { IMAGE } from "../kit/image/image.ts";

interface ContainerSpec {
  readonly name?: string;
  readonly claims?: readonly { readonly name: string; readonly request?: string }[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly command?: readonly string[];
  readonly limits?: Readonly<Record<string, string>>;
}

export interface PodSpec {
  readonly name: string;
  /** Claim from the template of that name; or a claim by name with `claimName`. */
  readonly template?: string;
  readonly claimName?: string;
  readonly containers?: readonly ContainerSpec[];
  readonly annotations?: Readonly<Record<string, string>>;
  /** Seconds between TERM and KILL; 1 where not given. */
  readonly grace?: number;
}

export const DEVICE_CLASS = {
  apiVersion: "resource.k8s.io/v1",
  kind: "DeviceClass",
  metadata: { name: "dra.cpu" },
  spec: { selectors: [{ cel: { expression: 'device.driver == "dra.cpu"' } }] },
};

/**
 * Writes a line `<uptime in seconds> <Cpus_allowed_list of itself>` whenever the list is another one; the list is read before the
 * clock. It looks some hundred times a second, and forks nothing.
 */
export const SAMPLER = [
  "sh",
  "-c",
  [
    "trap 'exit 0' TERM",
    "last=",
    "while :; do",
    '  while read -r key list; do [ "$key" = Cpus_allowed_list: ] && break; done < /proc/self/status',
    '  read -r up idle < /proc/uptime; [ "$list" = "$last" ] || echo "$up $list"; last=$list',
    "done",
  ].join("\n"),
];

/** A program that no TERM ends, and that says when one came. */
export const STUBBORN = ["sh", "-c", "trap 'echo TERM came' TERM; while :; do sleep 1 & wait $!; done"];

export function pod(spec: PodSpec): object {
  const claim = spec.template ?? spec.claimName;
  const by = spec.template === undefined ? { resourceClaimName: claim } : { resourceClaimTemplateName: claim };
  const containers = spec.containers ?? [claim === undefined ? {} : { claims: [{ name: "cpus" }] }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: spec.name, ...(spec.annotations === undefined ? {} : { annotations: spec.annotations }) },
    spec: {
      terminationGracePeriodSeconds: spec.grace ?? 1,
      ...(claim === undefined ? {} : { resourceClaims: [{ name: "cpus", ...by }] }),
      containers: containers.map((one, n) => ({
        name: one.name ?? `c${n}`,
        image: IMAGE,
        imagePullPolicy: "Never",
        command: one.command ?? ["/probe"],
        ...(one.env === undefined ? {} : { env: one.env }),
        resources: {
          ...(one.claims === undefined ? {} : { claims: one.claims }),
          ...(one.limits === undefined ? {} : { limits: one.limits }),
        },
      })),
    },
  };
}

/** One request `cpus` of that many CPUs, or requests `r0`, `r1`... where several are given. */
export function claimTemplate(name: string, ...cpus: readonly string[]): object {
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaimTemplate",
    metadata: { name },
    spec: { spec: claimSpec(cpus) },
  };
}

export function claim(name: string, ...cpus: readonly string[]): object {
  return { apiVersion: "resource.k8s.io/v1", kind: "ResourceClaim", metadata: { name }, spec: claimSpec(cpus) };
}

function claimSpec(cpus: readonly string[]): object {
  return {
    devices: {
      requests: cpus.map((count, n) => ({
        name: cpus.length === 1 ? "cpus" : `r${n}`,
        exactly: { deviceClassName: "dra.cpu", capacity: { requests: { "dra.cpu/cpu": count } } },
      })),
    },
  };
}
