/** How CPUs are chosen: `packed` close together, `spread` one thread a core first, `distributed` in even shares over NUMA nodes. */
export type Strategy = "packed" | "spread" | "distributed";

/**
 * Which threads of a core may be taken. `whole`: a core with all its online threads or not at all. `isolated`: one thread of a
 * core whose other online threads are free too; those belong to the claim and stay idle.
 */
export type Cores = "any" | "whole" | "isolated";

/** `prefer`: as few L3 domains as possible. `require`: one domain, or a shortfall. `any`: only after everything that matters more. */
export type L3Wish = "prefer" | "require" | "any";

/** `efficiency` means efficiency and low-power cores. On a machine without core classes `performance` is met by every CPU. */
export type CoreWish = "any" | "performance" | "efficiency";

export interface Policy {
  readonly strategy: Strategy;
  readonly cores: Cores;
  readonly l3: L3Wish;
  readonly coreType: CoreWish;
}

export const DEFAULT_POLICY: Policy = { strategy: "packed", cores: "any", l3: "prefer", coreType: "any" };
