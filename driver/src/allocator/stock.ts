import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Cell, Layout } from "./layout.ts";
import type { Policy } from "./policy.ts";

/** Cores of a cell that are alike: `size` online threads, `free` of them free. */
export interface CoreKind {
  readonly size: number;
  readonly free: number;
  /** NUMA index. */
  readonly numa: number;
  /** CPUs that all of them together can give. */
  readonly most: number;
  /** Indices into the layout's cores, by lowest CPU. */
  readonly cores: number[];
}

/** What is there to choose from, by unit. */
export interface Stock {
  /** 1 where the CPU may be taken, by CPU id. */
  readonly open: Uint8Array;
  /** By cell. */
  readonly kinds: readonly CoreKind[][];
  /** Free CPUs by unit: what a tight fit leaves over. */
  readonly looseNuma: Int32Array;
  readonly looseSocket: Int32Array;
  readonly looseL3: Int32Array;
  /** CPUs that can be given under the policy, by unit. */
  readonly mostNuma: Int32Array;
  readonly mostL3: Int32Array;
  readonly most: number;
}

export function takeStock(layout: Layout, free: CpuSet, policy: Policy): Stock {
  const open = new Uint8Array(layout.coreOf.length);
  const freeOf = new Int32Array(layout.cores.length);
  for (const cpu of free) {
    const core = layout.coreOf[cpu] ?? -1;
    if (core < 0) continue;
    open[cpu] = 1;
    freeOf[core] = (freeOf[core] ?? 0) + 1;
  }
  const looseNuma = new Int32Array(layout.numaNodes);
  const looseSocket = new Int32Array(layout.sockets);
  const looseL3 = new Int32Array(layout.l3s);
  const mostNuma = new Int32Array(layout.numaNodes);
  const mostL3 = new Int32Array(layout.l3s);
  let most = 0;
  const kinds: CoreKind[][] = [];
  for (const cell of layout.cells) {
    const alike: { size: number; free: number; numa: number; most: number; cores: number[] }[] = [];
    kinds.push(alike);
    for (const core of cell.cores) {
      const n = freeOf[core] ?? 0;
      if (n === 0) continue;
      looseNuma[cell.numa] = (looseNuma[cell.numa] ?? 0) + n;
      looseSocket[cell.socket] = (looseSocket[cell.socket] ?? 0) + n;
      looseL3[cell.l3] = (looseL3[cell.l3] ?? 0) + n;
      const size = layout.cores[core]?.cpus.length ?? 0;
      const gives = policy.cores === "any" ? n : n < size ? 0 : policy.cores === "whole" ? n : 1;
      if (gives === 0 || (policy.l3 === "require" && layout.l3Known[cell.l3] !== true)) continue;
      mostNuma[cell.numa] = (mostNuma[cell.numa] ?? 0) + gives;
      mostL3[cell.l3] = (mostL3[cell.l3] ?? 0) + gives;
      most += gives;
      let kind = alike.find((other) => other.size === size && other.free === n);
      if (kind === undefined) alike.push((kind = { size, free: n, numa: cell.numa, most: 0, cores: [] }));
      kind.most += gives;
      kind.cores.push(core);
    }
  }
  return { open, kinds, looseNuma, looseSocket, looseL3, mostNuma, mostL3, most };
}

/** The stock without the other cells. What a tight fit leaves over is still counted in the whole stock. */
export function within(layout: Layout, stock: Stock, holds: (cell: Cell) => boolean): Stock {
  const kinds = stock.kinds.map((of, cell) => (layout.cells.slice(cell, cell + 1).some(holds) ? of : []));
  const mostNuma = new Int32Array(layout.numaNodes);
  for (const kind of kinds.flat()) mostNuma[kind.numa] = (mostNuma[kind.numa] ?? 0) + kind.most;
  return { ...stock, kinds, mostNuma };
}
