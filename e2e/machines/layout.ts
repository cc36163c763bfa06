import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/** A machine whose units are alike. Sizes in KiB. */
export interface Layout {
  readonly about: string;
  readonly sockets: number;
  readonly socketIds?: readonly number[];
  readonly numaPerSocket: number;
  readonly numaIds?: readonly number[];
  readonly coresPerNuma: number;
  readonly threads: number;
  /** `offset` (usual): threads of a core lie the number of cores apart; `adjacent`; `interleave`: as offset, cores alternate between sockets. */
  readonly numbering?: "offset" | "adjacent" | "interleave";
  /** `repeat` (usual): from 0 in each socket; `gaps`: so, with gaps; `unique`; `cpu`: the first thread's id. */
  readonly coreIds?: "repeat" | "gaps" | "unique" | "cpu";
  readonly cluster?: { readonly cores: number; readonly ids: (n: number) => number };
  /** `per`: cores that share one, or the whole socket. */
  readonly l3?: { readonly per: number | "socket"; readonly sizeKiB: number; readonly ids?: boolean };
  readonly l2KiB: number;
  readonly l2Cores?: number;
  readonly l1dKiB: number;
  /** NUMA nodes without CPUs, after the others. */
  readonly memoryNodes?: number;
  /** Distances inside a socket and between sockets. */
  readonly near: number;
  readonly far: number;
  /** No dies, no cache ids, as on arm64 and ppc64. */
  readonly arm?: boolean;
  readonly offline?: string;
}

/** Path to content of all that Linux shows. */
export function filesOf(layout: Layout): Map<string, string> {
  const perSocket = layout.numaPerSocket * layout.coresPerNuma;
  const cores = layout.sockets * perSocket;
  const all = CpuSet.range(0, cores * layout.threads - 1);
  const online = all.minus(CpuSet.parse(layout.offline ?? ""));
  const files = new Map<string, string>();
  const put = (path: string, text: string | number): void =>
    void files.set(`/sys/devices/system/${path}`, String(text));
  put("cpu/online", online.toString());
  put("cpu/present", all.toString());
  put("cpu/isolated", "");
  put("cpu/nohz_full", "(null)");
  const threadsOf = (first: number, last: number): CpuSet => {
    const ids: number[] = [];
    for (let core = first; core <= last; core++)
      for (let thread = 0; thread < layout.threads; thread++) ids.push(cpuId(layout, cores, perSocket, core, thread));
    return CpuSet.from(ids).intersect(online);
  };
  const lists = new Map<string, string>();
  const shared = (core: number, per: number): string => {
    const key = `${Math.floor(core / per)} ${per}`;
    const first = core - (core % per);
    const text = lists.get(key) ?? threadsOf(first, first + per - 1).toString();
    lists.set(key, text);
    return text;
  };
  for (let core = 0; core < cores; core++) {
    const socket = Math.floor(core / perSocket);
    for (const cpu of threadsOf(core, core)) {
      const at = `cpu/cpu${cpu}`;
      put(`${at}/topology/physical_package_id`, layout.socketIds?.[socket] ?? socket);
      put(`${at}/topology/core_id`, coreId(layout, cores, perSocket, core));
      put(`${at}/topology/core_cpus_list`, shared(core, 1));
      if (layout.arm !== true) put(`${at}/topology/die_id`, 0);
      if (layout.cluster !== undefined)
        put(`${at}/topology/cluster_id`, layout.cluster.ids(Math.floor(core / layout.cluster.cores)));
      const cache = (index: number, level: number, type: string, sizeKiB: number, per: number, ids: boolean): void => {
        put(`${at}/cache/index${index}/level`, level);
        put(`${at}/cache/index${index}/type`, type);
        put(`${at}/cache/index${index}/size`, `${sizeKiB}K`);
        put(`${at}/cache/index${index}/shared_cpu_list`, shared(core, per));
        if (ids) put(`${at}/cache/index${index}/id`, Math.floor(core / per));
      };
      const ids = layout.arm !== true;
      cache(0, 1, "Data", layout.l1dKiB, 1, ids);
      cache(1, 1, "Instruction", 32, 1, ids);
      cache(2, 2, "Unified", layout.l2KiB, layout.l2Cores ?? 1, ids);
      const l3 = layout.l3;
      if (l3 !== undefined)
        cache(3, 3, "Unified", l3.sizeKiB, l3.per === "socket" ? perSocket : l3.per, l3.ids ?? true);
    }
  }
  const withCpus = layout.sockets * layout.numaPerSocket;
  const nodes = withCpus + (layout.memoryNodes ?? 0);
  const socketOf = (node: number): number =>
    node < withCpus ? Math.floor(node / layout.numaPerSocket) : (node - withCpus) % layout.sockets;
  for (let node = 0; node < nodes; node++) {
    const id = layout.numaIds?.[node] ?? node;
    const first = node * layout.coresPerNuma;
    put(`node/node${id}/cpulist`, node < withCpus ? threadsOf(first, first + layout.coresPerNuma - 1).toString() : "");
    const distances = Array.from({ length: nodes }, (_, other) =>
      other === node ? 10 : socketOf(other) === socketOf(node) ? layout.near : layout.far,
    );
    put(`node/node${id}/distance`, distances.join(" "));
  }
  return files;
}

function cpuId(layout: Layout, cores: number, perSocket: number, core: number, thread: number): number {
  const numbering = layout.numbering ?? "offset";
  if (numbering === "adjacent") return core * layout.threads + thread;
  const place = numbering === "offset" ? core : (core % perSocket) * layout.sockets + Math.floor(core / perSocket);
  return thread * cores + place;
}

function coreId(layout: Layout, cores: number, perSocket: number, core: number): number {
  const inSocket = core % perSocket;
  switch (layout.coreIds ?? "repeat") {
    case "repeat":
      return inSocket;
    case "gaps":
      return inSocket + 3 * Math.floor(inSocket / 5);
    case "unique":
      return core;
    case "cpu":
      return cpuId(layout, cores, perSocket, core, 0);
  }
}
