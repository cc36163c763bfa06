/**
 * The part of a resource.k8s.io/v1 ResourceClaim that this driver reads, as raw JSON from the API server
 * (k8s.io/api v0.36.3, resource/v1/types.go). Nothing here is validated: see `decide.ts`.
 */
export interface ResourceClaim {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly status?: {
    readonly allocation?: {
      readonly devices?: {
        readonly results?: readonly AllocationResult[];
        readonly config?: readonly AllocationConfig[];
      };
    };
    readonly reservedFor?: readonly ConsumerReference[];
    /** What drivers say of what they have given. */
    readonly devices?: readonly {
      readonly driver: string;
      readonly pool?: string;
      readonly device?: string;
      readonly shareID?: string;
      readonly data?: { readonly cpus?: string };
    }[];
  };
}

export interface AllocationResult {
  /** `main` or `main/sub` (firstAvailable). */
  readonly request: string;
  readonly driver: string;
  readonly pool: string;
  readonly device: string;
  readonly adminAccess?: boolean;
  readonly shareID?: string;
  /** Quantities by qualified capacity name, such as `{"dra.cpu/cpu": "4"}`. */
  readonly consumedCapacity?: Readonly<Record<string, string>>;
}

export interface AllocationConfig {
  /** `FromClass` or `FromClaim`. */
  readonly source: string;
  /** Empty or absent: all requests. */
  readonly requests?: readonly string[];
  readonly opaque?: { readonly driver: string; readonly parameters: unknown };
}

export interface ConsumerReference {
  readonly apiGroup?: string;
  readonly resource: string;
  readonly name: string;
  readonly uid: string;
}
