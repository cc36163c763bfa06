/** Of resource.k8s.io/v1, what is looked at. */
export interface Slice {
  readonly spec: {
    readonly driver: string;
    readonly nodeName: string;
    readonly devices?: readonly Device[];
  };
}

export interface Device {
  readonly name: string;
  readonly attributes: Readonly<
    Record<string, { readonly string?: string; readonly int?: number; readonly bool?: boolean }>
  >;
  readonly capacity?: Readonly<Record<string, { readonly value: string }>>;
}

export interface Claim {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status?: {
    readonly allocation?: {
      readonly devices: {
        readonly results: readonly {
          readonly pool: string;
          readonly device: string;
          readonly consumedCapacity?: Readonly<Record<string, string>>;
        }[];
      };
    };
    readonly devices?: readonly { readonly device: string; readonly data: { readonly cpus: string } }[];
  };
}

export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly resourceClaimStatuses?: readonly { readonly resourceClaimName: string }[];
  };
}

export function isReady(pod: Pod): boolean {
  return pod.status.containerStatuses?.every((one) => one.ready) === true;
}

interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly containerID?: string;
}

export interface Wanted {
  /** CPUs of a grouped device; without it, `count` devices. */
  readonly cpus?: number;
  readonly count?: number;
  /** CPUParameters. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** CEL expression on a device. */
  readonly selector?: string;
  /** Attribute that all of its devices have in common. */
  readonly same?: string;
}

/** One request `cpus`. */
export function template(name: string, wanted: Wanted): object {
  const { cpus, count, parameters, selector, same } = wanted;
  const opaque = {
    driver: "dra.cpu",
    parameters: { apiVersion: "dra.cpu/v1alpha1", kind: "CPUParameters", ...parameters },
  };
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaimTemplate",
    metadata: { name },
    spec: {
      spec: {
        devices: {
          requests: [
            {
              name: "cpus",
              exactly: {
                deviceClassName: "dra.cpu",
                ...(cpus === undefined ? { count } : { capacity: { requests: { "dra.cpu/cpu": String(cpus) } } }),
                ...(selector === undefined ? {} : { selectors: [{ cel: { expression: selector } }] }),
              },
            },
          ],
          ...(same === undefined ? {} : { constraints: [{ requests: ["cpus"], matchAttribute: same }] }),
          ...(parameters === undefined ? {} : { config: [{ opaque }] }),
        },
      },
    },
  };
}
