import fc from "fast-check";

/** What may happen to a node. Numbers choose among what is there, modulo how much there is. */
export type Step =
  | {
      readonly do: "claim";
      readonly cpus: number;
      readonly pod: number;
      readonly kind: "plain" | "split" | "isolated" | "idle";
    }
  | { readonly do: "run"; readonly pod: number; readonly claim: number; readonly whole: boolean }
  | { readonly do: "create"; readonly pod: number; readonly claim: number }
  | { readonly do: "start" | "stop" | "end" | "update"; readonly which: number }
  | { readonly do: "removePod" | "release" | "forget"; readonly which: number }
  | { readonly do: "kill"; readonly atWrite: number; readonly file: boolean; readonly away: number }
  | { readonly do: "meddle"; readonly which: number; readonly how: "mask" | "member" | "list" }
  | { readonly do: "reconnect" | "replace" }
  | { readonly do: "pass"; readonly ms: number };

const small = fc.nat({ max: 7 });
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("claim" as const),
        cpus: small,
        pod: small,
        kind: fc.constantFrom("plain", "plain", "split", "split", "isolated", "idle"),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant("run" as const), pod: small, claim: small, whole: fc.boolean() }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("create" as const), pod: small, claim: small }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("start" as const, "end" as const), which: small }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("stop" as const, "update" as const), which: small }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constantFrom("removePod" as const, "release" as const, "forget" as const),
        which: small,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("kill" as const),
        atWrite: fc.nat({ max: 20 }),
        file: fc.boolean(),
        away: fc.nat({ max: 3 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("reconnect" as const, "replace" as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("meddle" as const),
        which: small,
        how: fc.constantFrom("mask", "member", "list"),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(10, 300, 2500, 12_000) }),
    },
  ),
  { minLength: 3, maxLength: 40 },
);
