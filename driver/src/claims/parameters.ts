import { CpuListError, CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { distance } from "fastest-levenshtein";
import type { CoreWish, Cores, L3Wish, Strategy } from "../allocator/allocate.ts";

export const PARAMETERS_API_VERSION = "dra.cpu/v1alpha1";
export const PARAMETERS_KIND = "CPUParameters";
/** `apiVersion` of the reference driver's own schema. */
const REFERENCE_API_VERSION = "v1alpha1";
/** What the API server lets pass (resource/v1 types.go, OpaqueParametersMaxLength), in bytes of JSON. */
const MAX_BYTES = 10 << 10;
/** More of them would not fit into an Event. */
const MAX_PROBLEMS = 10;

/** `exclusive`: nobody else runs on the CPUs. `isolated`: the kernel balances no load among them either. */
export type Isolation = "exclusive" | "isolated";

/** What one entry of a claim's configuration says; what it leaves out is left to others. See docs/parameters.md. */
export interface Parameters {
  readonly strategy?: Strategy;
  readonly cores?: Cores;
  readonly l3?: L3Wish;
  readonly coreType?: CoreWish;
  readonly isolation?: Isolation;
  /** Exactly these CPUs. */
  readonly cpuset?: CpuSet;
}

/** Values of the fields that choose, in the order in which people are told of them. */
export const CHOICES = {
  strategy: ["packed", "spread", "distributed"],
  cores: ["any", "whole", "isolated"],
  l3: ["prefer", "require", "any"],
  coreType: ["any", "performance", "efficiency"],
  isolation: ["exclusive", "isolated"],
} as const satisfies { readonly [F in Exclude<keyof Parameters, "cpuset">]-?: readonly Required<Parameters>[F][] };

/** Fields that say how CPUs are chosen; beside an exact cpuset nothing is left for them to say. */
export const CHOOSING = ["strategy", "cores", "l3", "coreType"] as const satisfies readonly (keyof typeof CHOICES)[];

const FIELDS = [...Object.keys(CHOICES), "cpuset"];
const ALL_FIELDS = ["apiVersion", "kind", ...FIELDS];

export type ParametersReading =
  | {
      readonly kind: "parameters";
      readonly parameters: Parameters;
      /** In the reference driver's schema, which has rules of its own: see `precedence.ts`. */
      readonly reference: boolean;
    }
  /** Every problem there is, half a sentence each. */
  | { readonly kind: "wrong"; readonly problems: readonly string[] };

/** Reads opaque parameters: our schema strictly, the reference driver's as tolerantly as it does. `value` is any JSON. */
export function readParameters(value: unknown): ParametersReading {
  if (!isObject(value)) {
    return wrong([`they are ${shown(value)}; wanted an object with apiVersion, kind and at least one field`]);
  }
  const bytes = bytesOf(value);
  if (bytes > MAX_BYTES) {
    return wrong([`they take ${bytes === Infinity ? "far more than" : `${bytes} bytes, more than`} 10 KiB`]);
  }
  return Object.hasOwn(value, "cpuConfig") || value["apiVersion"] === REFERENCE_API_VERSION
    ? readReference(value)
    : readOwn(value);
}

function readOwn(value: Readonly<Record<string, unknown>>): ParametersReading {
  const problems: string[] = [];
  fixed(value, "apiVersion", PARAMETERS_API_VERSION, problems);
  fixed(value, "kind", PARAMETERS_KIND, problems);
  const found: Record<string, unknown> = {};
  for (const [key, given] of Object.entries(value)) {
    if (key === "apiVersion" || key === "kind") continue;
    if (key === "cpuset") {
      const cpuset = readCpuset("cpuset", given);
      if (typeof cpuset === "string") problems.push(cpuset);
      else found[key] = cpuset;
    } else if (isChoice(key)) {
      if (CHOICES[key].some((one) => one === given)) found[key] = given;
      else problems.push(`\`${key}\` is ${shown(given)}; wanted ${anyOf(CHOICES[key])}${hint(given, CHOICES[key])}`);
    } else {
      const near = hint(key, ALL_FIELDS);
      problems.push(`there is no field ${shown(key)}${near === "" ? `; there are ${FIELDS.join(", ")}` : near}`);
    }
  }
  const moot = CHOOSING.filter((key) => found[key] !== undefined);
  if (found["cpuset"] !== undefined && moot.length > 0) problems.push(nothingLeft(moot));
  if (problems.length > 0) return wrong(problems);
  return { kind: "parameters", parameters: found, reference: false };
}

/** `{"apiVersion":"v1alpha1","cpuConfig":{"cpuset":"2-5"}}`; fields that it does not know are no concern of its. */
function readReference(value: Readonly<Record<string, unknown>>): ParametersReading {
  const problems: string[] = [];
  const version = value["apiVersion"];
  if (version !== undefined && version !== REFERENCE_API_VERSION) {
    problems.push(
      `\`apiVersion\` is ${shown(version)}; with \`cpuConfig\` it has to be "${REFERENCE_API_VERSION}" (${PARAMETERS_API_VERSION} has \`cpuset\` at the top)`,
    );
  }
  const config = value["cpuConfig"];
  let cpuset: CpuSet | undefined;
  if (!isObject(config)) {
    problems.push(`\`cpuConfig\` is ${shown(config)}; wanted {"cpuset": "2-5"}`);
  } else {
    const read = readCpuset("cpuConfig.cpuset", config["cpuset"]);
    if (typeof read === "string") problems.push(read);
    else cpuset = read;
  }
  if (cpuset === undefined || problems.length > 0) return wrong(problems);
  return { kind: "parameters", parameters: { cpuset }, reference: true };
}

/** `cpuset` names every CPU, so `strategy` and `l3` have nothing to choose */
export function nothingLeft(fields: readonly string[]): string {
  const names = fields.map((field) => `\`${field}\``).join(" and ");
  return `\`cpuset\` names every CPU, so ${names} ${fields.length === 1 ? "has" : "have"} nothing to choose; leave one or the other out`;
}

function fixed(value: Readonly<Record<string, unknown>>, key: string, wanted: string, problems: string[]): void {
  const given = value[key];
  if (given === wanted) return;
  problems.push(
    given === undefined
      ? `\`${key}\` is missing; wanted "${wanted}"`
      : `\`${key}\` is ${shown(given)}; wanted "${wanted}"`,
  );
}

function readCpuset(name: string, given: unknown): CpuSet | string {
  if (typeof given === "number") return `\`${name}\` is the number ${given}; write it in quotes: "${given}"`;
  if (given === undefined) return `\`${name}\` is missing; wanted a CPU list such as "2-5"`;
  if (typeof given !== "string") return `\`${name}\` is ${shown(given)}; wanted a CPU list such as "2-5"`;
  try {
    const cpus = CpuSet.parse(given);
    return cpus.isEmpty ? `\`${name}\` is empty; wanted a CPU list such as "2-5"` : cpus;
  } catch (cause) {
    if (cause instanceof CpuListError) return `\`${name}\`: ${cause.message}`;
    throw cause;
  }
}

function isChoice(key: string): key is keyof typeof CHOICES {
  return Object.hasOwn(CHOICES, key);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Infinity where it is nested deeper than JSON can be written. */
function bytesOf(value: unknown): number {
  try {
    return new TextEncoder().encode(JSON.stringify(value)).length;
  } catch (cause) {
    if (cause instanceof RangeError) return Infinity;
    throw cause;
  }
}

function wrong(problems: readonly string[]): ParametersReading {
  const more = problems.length - MAX_PROBLEMS;
  return { kind: "wrong", problems: more > 0 ? [...problems.slice(0, MAX_PROBLEMS), `${more} more`] : problems };
}

/** A value as a person would name it, short whatever it is. */
export function shown(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  return JSON.stringify(typeof value === "string" && value.length > 40 ? `${value.slice(0, 40)}…` : value);
}

function hint(given: unknown, known: readonly string[]): string {
  if (typeof given !== "string" || given.length > 40) return "";
  const [best] = known
    .map((one) => ({ one, far: distance(given.toLowerCase(), one.toLowerCase()) }))
    .sort((a, b) => a.far - b.far);
  return best !== undefined && best.far <= Math.max(2, best.one.length / 3) ? `; did you mean ${best.one}?` : "";
}

function anyOf(words: readonly string[]): string {
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1) ?? ""}`;
}
