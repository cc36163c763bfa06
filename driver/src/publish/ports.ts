import type { ResourceSlice } from "../slices/device.ts";

/** A slice as the API server has it, raw; fields a server of another version adds are kept. */
export interface StoredSlice {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly managedFields?: readonly { readonly manager?: string }[];
  };
  readonly spec: Omit<ResourceSlice["spec"], "devices"> & { readonly devices?: ResourceSlice["spec"]["devices"] };
}

export type SliceEvent =
  | { readonly kind: "list"; readonly slices: readonly StoredSlice[] }
  | { readonly kind: "changed"; readonly slice: StoredSlice }
  | { readonly kind: "deleted"; readonly slice: StoredSlice };

/** Faults are Errors with a sentence, and `isTransient` where trying again may help. */
export interface SliceApi {
  nodeUid(name: string, signal: AbortSignal): Promise<string>;
  /** Server-side apply under this driver's field manager, with force. @returns what is stored (or would be). */
  apply(slice: ResourceSlice, dryRun: boolean, signal: AbortSignal): Promise<StoredSlice>;
  remove(slice: StoredSlice, signal: AbortSignal): Promise<void>;
  /** All slices of a driver on a node, as of now. */
  list(driver: string, nodeName: string, signal: AbortSignal): Promise<StoredSlice[]>;
  /** All slices of a driver on a node, then every change; comes back by itself and ends only with `signal`. */
  watch(driver: string, nodeName: string, signal: AbortSignal): AsyncIterable<SliceEvent>;
}
