import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Policy } from "../allocator/allocate.ts";
import { CHOOSING, isObject, nothingLeft, readParameters, type Parameters } from "./parameters.ts";

/** What one request wants, after everybody has spoken. */
export interface Wish {
  readonly policy: Policy;
  /** Exactly these CPUs; {@link policy} is then without meaning. */
  readonly cpuset: CpuSet | undefined;
  readonly isolated: boolean;
}

export type WishReading =
  | { readonly kind: "wish"; readonly wish: Wish }
  | { readonly kind: "wrong"; readonly problems: readonly string[] };

interface Layer {
  readonly from: string;
  readonly rank: readonly [source: number, filter: number];
  readonly parameters: Parameters;
  readonly reference: boolean;
}

/**
 * The one order of precedence, field by field; the later wins:
 *
 * 1. the node's defaults
 * 2. entries of the DeviceClass, 3. entries of the claim; among those of one source
 *    a. without `requests`, b. that name the request, c. that name its alternative (`main/sub`); among equals in their order
 *
 * An exact cpuset ends what weaker layers say of choosing; a stronger one that still wants to choose contradicts it.
 *
 * @param request as the allocation's result names it, `main` or `main/sub`
 * @param config `status.allocation.devices.config`, any JSON
 */
export function wishOf(request: string, config: unknown, driver: string, defaults: Policy): WishReading {
  const problems: string[] = [];
  const layers = layersOf(request, config, driver, problems);
  const references = layers.filter((layer) => layer.reference);
  if (references.some((layer) => layer.rank[0] === 0)) {
    problems.push(
      "`cpuConfig` comes from the DeviceClass, and its exact CPUs can be one claim's only; put it into the claim",
    );
  } else if (references.length > 1) {
    problems.push(
      `${references.length} configurations with \`cpuConfig\` name request ${request}; exactly one is wanted`,
    );
  }
  let merged: Parameters = {};
  let exactFrom = "";
  for (const { parameters, from } of layers) {
    if (parameters.cpuset !== undefined) {
      merged = { ...(merged.isolation === undefined ? {} : { isolation: merged.isolation }), ...parameters };
      exactFrom = from;
      continue;
    }
    const choosing = CHOOSING.filter((field) => parameters[field] !== undefined);
    if (merged.cpuset !== undefined && choosing.length > 0) {
      problems.push(`${exactFrom} has \`cpuset\` and ${from} has ${choosing.join(", ")}: ${nothingLeft(choosing)}`);
    }
    merged = { ...merged, ...parameters };
  }
  if (problems.length > 0) return { kind: "wrong", problems };
  const { cpuset, isolation, ...choosing } = merged;
  return { kind: "wish", wish: { policy: { ...defaults, ...choosing }, cpuset, isolated: isolation === "isolated" } };
}

/** Entries of this driver that are for the request, weakest first. */
function layersOf(request: string, config: unknown, driver: string, problems: string[]): Layer[] {
  if (!Array.isArray(config)) return [];
  const layers: Layer[] = [];
  for (const [n, entry] of (config as readonly unknown[]).entries()) {
    const opaque = isObject(entry) ? entry["opaque"] : undefined;
    if (!isObject(entry) || !isObject(opaque) || opaque["driver"] !== driver) continue;
    const filter = strengthOf(entry["requests"], request);
    if (filter < 0) continue;
    const source = entry["source"] === "FromClass" ? 0 : 1;
    const from = `${source === 0 ? "the DeviceClass's" : "the claim's"} configuration (entry ${n + 1})`;
    const reading = readParameters(opaque["parameters"]);
    if (reading.kind === "wrong") problems.push(...reading.problems.map((problem) => `in ${from} ${problem}`));
    else layers.push({ from, rank: [source, filter], parameters: reading.parameters, reference: reading.reference });
  }
  return layers.sort((a, b) => a.rank[0] - b.rank[0] || a.rank[1] - b.rank[1]);
}

/** 0: for all requests, 1: names the main request, 2: names its alternative; -1: is for others. */
function strengthOf(requests: unknown, request: string): number {
  if (!Array.isArray(requests) || requests.length === 0) return 0;
  const names = requests as readonly unknown[];
  const main = request.split("/")[0];
  if (request !== main && names.includes(request)) return 2;
  return names.includes(main) ? 1 : -1;
}

/** `packed, whole cores, one L3`; for logs. */
export function wishText({ policy, cpuset, isolated }: Wish): string {
  const how =
    cpuset === undefined
      ? `strategy ${policy.strategy}, cores ${policy.cores}, l3 ${policy.l3}, coreType ${policy.coreType}`
      : `cpuset ${cpuset.toString()}`;
  return `${how}${isolated ? ", isolated" : ""}`;
}
