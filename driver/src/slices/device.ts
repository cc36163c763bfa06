/** The part of resource.k8s.io/v1 (k8s.io/api v0.36.3, resource/v1/types.go) that is published, as raw JSON. */
export interface Device {
  readonly name: string;
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly capacity?: Readonly<Record<string, Capacity>>;
  readonly allowMultipleAllocations?: boolean;
  readonly taints?: readonly DeviceTaint[];
  /** The name of 1.36 (alpha, DRANodeAllocatableResources). */
  readonly nodeAllocatableResourceMappings?: Readonly<
    Record<string, { readonly capacityKey?: string; readonly allocationMultiplier: string }>
  >;
  /** The name of 1.37. */
  readonly nodeAllocatableResources?: Readonly<
    Record<
      string,
      {
        readonly mapping:
          | { readonly capacityKey: string; readonly capacityMultiplier: string }
          | { readonly deviceMultiplier: string };
      }
    >
  >;
}

/** DRADeviceTaints, on by default from 1.36; the server adds when. */
export interface DeviceTaint {
  readonly key: string;
  readonly value: string;
  readonly effect: "NoSchedule";
}

/** Exactly one of them; lists need the feature gate DRAListTypeAttributes. */
export type Attribute =
  | { readonly int: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly strings: readonly string[] };

export interface Capacity {
  readonly value: string;
  readonly requestPolicy?: RequestPolicy;
}

export interface RequestPolicy {
  readonly default: string;
  readonly validRange?: { readonly min: string; readonly step: string };
  readonly validValues?: readonly string[];
}

export interface ResourceSlice {
  readonly apiVersion: "resource.k8s.io/v1";
  readonly kind: "ResourceSlice";
  readonly metadata: {
    readonly name: string;
    readonly ownerReferences: readonly {
      readonly apiVersion: "v1";
      readonly kind: "Node";
      readonly name: string;
      readonly uid: string;
      readonly controller: true;
    }[];
  };
  readonly spec: {
    readonly driver: string;
    readonly nodeName: string;
    readonly pool: { readonly name: string; readonly generation: number; readonly resourceSliceCount: number };
    readonly devices: readonly Device[];
  };
}
