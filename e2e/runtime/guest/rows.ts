/** Rows that the guest prints and the host expects, by kernel. Each is shown by what the kernel says. */
export const PARTITION_ROWS = [
  "the kernel lever is in force",
  "a claim's container has its CPUs alone from its first instruction, without an update to anybody",
  "a second claim",
  "the kernel refuses a double allocation",
  "agent killed: a new container, and one that asks for claimed CPUs, stay off",
  "exec in the claim's container; CRI updates of it and of a shared one",
  "a host process cannot move onto claimed CPUs",
  "a claim's container removed while the agent is dead: its CPUs are everybody's",
  "a claim's container that was created is started while the agent is dead: the runtime makes its partition, and the next agent takes it up",
  "agent back: stale lists are cleaned, and the claim's next container takes the CPUs back",
  "an isolated claim, with a sibling kept idle by masks before its container starts",
  "four claims in and out of two QoS classes on the same CPUs",
  "a claim shared by all containers of a pod: the pod is the partition",
  "a shared container joins such a pod: the claim is held by masks",
  "a claim shared by some containers of a pod",
  "everything but one CPU taken and given back",
  "every CPU taken: the last claim is held by masks, everybody else shares, and it is told",
  "a CPU of a claim offline and back, while its container runs and before it starts",
  "the last CPU of a partition offline and back: kept by the kernel, or reported and repaired",
  "another program makes a partition invalid: noticed and put right within a second",
  "the kernel calls a partition invalid, by a sibling's mask and by a list above it: told with its code, and put right",
  "a pod that is a partition grows by another claim, and by one that comes later; nobody else is written to",
  "the node changes from partitions to masks, and back: its claims go along",
  "the runtime becomes containerd 2.1 with NRI 0.8, the agent lives on: the kernel lever with it, from a claim's first instruction until its CPUs are back",
] as const;

/** With --full alone: once of two times the emulated machine stood still in it for two minutes, and why is not known. */
export const ROWS_OF_FULL: readonly string[] = [PARTITION_ROWS[16]];

export const MASK_ROWS = [
  "the file lever is in force, and says why",
  "per-request shares in two containers of a pod",
  "two claims in one container",
  "two claim pods at once, and everybody read back off them",
  "agent killed: a new container escapes, and is found and repaired when it is back",
  "masks set by somebody else are put right",
  "all CPUs of a claim offline and back: reported and repaired",
  "the topology is what the machine was made as, and what lscpu and hwloc say",
  "the runtime lever, asked for: masks go through the runtime alone, and are read back",
] as const;

/** Both processes on claims of every kind; masks are read inside the containers, and held against what lscpu says of the machine. */
export const MODE_ROWS = [
  "machine: one device; a claim larger than a socket, packed",
  "exact CPUs by this driver's parameters, split cores and all",
  "exact CPUs by the reference driver's parameters",
  "distributed: an even share of every NUMA node",
  "spread: one thread a core as far as cores go",
  "numanode: a device a NUMA node, packed inside it; a claim from before the change of mode is as it was",
  "cores whole: whole cores only, or a refusal in words",
  "cores isolated: half of the CPUs run, their siblings rest",
  "isolation isolated: no load balancing, as the kernel says of itself",
  "l3cache: a device an L3",
  "socket: a device a socket, spread where the node says so",
  "l3 prefer: as few L3s as can be",
  "l3 require: one L3, or a refusal in words",
  "individual: the CPUs that the scheduler has chosen",
  "a claim that saw every mode is released by name, and its CPUs are everybody's",
  "the runtime waits for StartContainer far less than it would",
  "both programs killed: a new container stays off the claim's CPUs, and all is as it was when they are back",
  "the partitions that unit tests play are those of this kernel, after every one of random writes",
] as const;

/** runc 1.4 and crun 1.21, side by side, ask systemd for cgroups, as on most clusters. */
export const SYSTEMD_ROWS = [
  "the kernel lever in systemd's scopes: claims' containers alone from their first instruction, their quota lifted",
  "systemd reloaded, executed anew, and writing its scopes again: nobody moves",
  "CRI updates of claims' containers and of shared ones",
  "agent killed: a new container stays off; systemd reloaded meanwhile",
  "the claims' CPUs are everybody's when their containers are gone",
  "the file lever: systemd reloaded, and a property that somebody sets is put right; the claim's container stays",
  "the runtime lever: systemd reloaded, and writing its scopes again: nobody moves",
] as const;
