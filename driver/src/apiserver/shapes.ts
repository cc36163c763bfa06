import type { ResourceClaim } from "../claims/resourceclaim.ts";
import type { StoredSlice } from "../publish/ports.ts";
import { badBody, type ApiRequest } from "./fault.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface Page<T> {
  readonly version: string;
  readonly next: string;
  readonly items: readonly T[];
}

/** What a watch says of one object; a bookmark has nothing but the version. */
export interface WatchEvent {
  readonly type: string;
  readonly object: Fields;
}

function fields(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** @throws ApiFault where it is no object with a name and a uid. */
export function objectOf(request: ApiRequest, body: unknown): { name: string; uid: string; version: string } {
  const metadata = fields(fields(body)?.["metadata"]);
  const found = {
    name: text(metadata?.["name"]),
    uid: text(metadata?.["uid"]),
    version: text(metadata?.["resourceVersion"]),
  };
  if (found.name === "" || found.uid === "") throw badBody(request, "the answer is no object with a name and a uid");
  return found;
}

/** @throws ApiFault */
export function labelsOf(request: ApiRequest, body: unknown): Readonly<Record<string, string>> {
  objectOf(request, body);
  const labels = fields(fields(fields(body)?.["metadata"])?.["labels"]) ?? {};
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, text(value)]));
}

/** CPUs of a Node that the kubelet keeps from pods, in thousandths. @throws ApiFault */
export function keptMilliOf(request: ApiRequest, body: unknown): number {
  const status = fields(fields(body)?.["status"]);
  const [capacity, allocatable] = ["capacity", "allocatable"].map((one) => milli(text(fields(status?.[one])?.["cpu"])));
  if (capacity === undefined || allocatable === undefined) throw badBody(request, "the Node tells no CPUs");
  return capacity - allocatable;
}

/** As the kubelet writes CPUs: `16` or `15900m`. */
function milli(quantity: string): number | undefined {
  const m = /^(\d+)(m?)$/.exec(quantity);
  return m === null ? undefined : Number(m[1]) * (m[2] === "m" ? 1 : 1000);
}

/** @throws ApiFault; the rest of it is not looked at, see `claims/decide.ts`. */
export function claimOf(request: ApiRequest, body: unknown): ResourceClaim {
  objectOf(request, body);
  return body as ResourceClaim;
}

/** @throws ApiFault */
export function sliceOf(request: ApiRequest, body: unknown): StoredSlice {
  objectOf(request, body);
  const spec = fields(fields(body)?.["spec"]);
  const devices = spec?.["devices"];
  if (typeof fields(spec?.["pool"])?.["generation"] !== "number") throw badBody(request, "a slice has no pool");
  if (devices !== undefined && devices !== null && !(Array.isArray(devices) && devices.every((one) => fields(one))))
    throw badBody(request, "the devices of a slice are no list");
  return body as StoredSlice;
}

/** @throws ApiFault */
export function pageOf<T>(
  request: ApiRequest,
  body: unknown,
  read: (request: ApiRequest, item: unknown) => T,
): Page<T> {
  const metadata = fields(fields(body)?.["metadata"]);
  const items = fields(body)?.["items"] ?? [];
  const version = text(metadata?.["resourceVersion"]);
  if (version === "" || !Array.isArray(items)) throw badBody(request, "the answer is no list");
  return { version, next: text(metadata?.["continue"]), items: items.map((item) => read(request, item)) };
}

/** @throws ApiFault */
export function watchEventOf(request: ApiRequest, line: unknown): WatchEvent {
  const type = text(fields(line)?.["type"]);
  const object = fields(fields(line)?.["object"]);
  if (type === "" || object === undefined) throw badBody(request, "an event of the watch has no type or no object");
  return { type, object };
}

/** @throws ApiFault */
export function versionOf(request: ApiRequest, object: Fields): string {
  const version = text(fields(object["metadata"])?.["resourceVersion"]);
  if (version === "") throw badBody(request, "an event of the watch has no resource version");
  return version;
}
