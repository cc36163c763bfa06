/** A text overlay of a whole machine; keys without `/sys/`. */
export function overlay(files: Readonly<Record<string, string>>): string {
  return Object.entries(files)
    .map(([path, text]) => `${JSON.stringify(`/sys/${path}`)}: ${JSON.stringify(text)}`)
    .join("\n");
}

/** Two sockets of four cores, SMT 2, a NUMA node and an L3 each; ids as Linux gives them: siblings half the machine apart, core ids repeating. */
export function twoSockets(options: { siblingLists?: boolean; online?: string } = {}): string {
  const files: Record<string, string> = {
    "devices/system/cpu/online": options.online ?? "0-15",
    "devices/system/cpu/present": "0-15",
    "devices/system/node/node0/cpulist": "0-3,8-11",
    "devices/system/node/node1/cpulist": "4-7,12-15",
    "devices/system/node/node0/distance": "10 21",
    "devices/system/node/node1/distance": "21 10",
  };
  for (let cpu = 0; cpu < 16; cpu++) {
    const core = cpu % 8;
    const socket = core < 4 ? 0 : 1;
    const at = `devices/system/cpu/cpu${cpu}`;
    files[`${at}/topology/core_id`] = String(core % 4);
    files[`${at}/topology/physical_package_id`] = String(socket);
    files[`${at}/topology/die_id`] = "0";
    if (options.siblingLists !== false) files[`${at}/topology/core_cpus_list`] = `${core},${core + 8}`;
    files[`${at}/cache/index3/level`] = "3";
    files[`${at}/cache/index3/id`] = String(socket);
    files[`${at}/cache/index3/shared_cpu_list`] = socket === 0 ? "0-3,8-11" : "4-7,12-15";
  }
  return overlay(files);
}
