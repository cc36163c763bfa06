import type { ContainerView, Picture } from "../../picture/picture.ts";
import type { Numbered } from "../../picture/timeline.ts";

/** What is shown, and how. */
export interface View {
  readonly picture: Picture;
  /** Newest last. */
  readonly entries: readonly Numbered[];
  /** What a person is looking for; "" for everything. */
  readonly query: string;
  readonly asTable: boolean;
  readonly fold: boolean;
}

/** What a person may do. */
export interface Wishes {
  search(query: string): void;
  showTable(asTable: boolean): void;
  foldIdle(fold: boolean): void;
}

/** The claims and containers that the query means; `undefined` without one. */
export interface Found {
  readonly claims: ReadonlySet<string>;
  readonly containers: ReadonlySet<string>;
  readonly cpus: ReadonlySet<number>;
}

export function nameOf(one: ContainerView): string {
  return `${one.namespace}/${one.pod}/${one.name}`;
}

/** Every word of the query has to be in a name, or to be one of its CPUs as `cpu=8`. */
export function find({ picture, query }: View): Found | undefined {
  const words = query
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  if (words.length === 0) return undefined;
  const fits = (names: string, cpus: string): boolean =>
    words.every((word) =>
      word.startsWith("cpu=") ? idsOf(cpus).includes(Number(word.slice(4))) : names.toLowerCase().includes(word),
    );
  const claims = picture.claims.filter((one) =>
    fits(`${one.namespace}/${one.name} ${one.pods.map((pod) => `${one.namespace}/${pod}`).join(" ")}`, one.cpus),
  );
  const uids = new Set(claims.map((one) => one.uid));
  const containers = picture.containers.filter(
    (one) => fits(nameOf(one), one.effective) || one.claims.some((uid) => uids.has(uid)),
  );
  for (const one of containers) for (const uid of one.claims) uids.add(uid);
  const lists = [
    ...picture.claims.filter((one) => uids.has(one.uid)).map((one) => one.cpus),
    ...containers.map((one) => one.effective),
  ];
  return {
    claims: uids,
    containers: new Set(containers.map((one) => one.id)),
    cpus: new Set(lists.flatMap(idsOf)),
  };
}

/** `0-3,8` as numbers. */
export function idsOf(list: string): number[] {
  if (list === "") return [];
  return list.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, n) => first + n);
  });
}

/** Ascending numbers as `0-3,8`. */
export function listOf(ids: readonly number[]): string {
  const parts: string[] = [];
  for (let n = 0; n < ids.length;) {
    let last = n;
    while ((ids[last + 1] ?? -1) === (ids[last] ?? 0) + 1) last += 1;
    parts.push(last === n ? String(ids[n]) : `${ids[n] ?? ""}-${ids[last] ?? ""}`);
    n = last + 1;
  }
  return parts.join(",");
}

export function timeOf(ms: number): string {
  return new Date(ms).toLocaleTimeString([], { hour12: false });
}
