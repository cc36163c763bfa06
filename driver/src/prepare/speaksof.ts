import type { ClaimName } from "@dracpu/shared-proto/contract/records.ts";

/** Whether a sentence of the agent speaks of the claim, by uid or name. */
export function speaksOf(sentence: string, { uid, namespace, name }: ClaimName): boolean {
  const words = sentence.split(/[^\w./-]+/).map((word) => word.replace(/[.]+$/, ""));
  return words.includes(uid) || (name !== "" && words.includes(`${namespace}/${name}`));
}
