import type { Code } from "./code.ts";

/** 4xx: Kubernetes' side of the node; 5xx: the node itself; 6xx: this driver's files. */
export const NODE_CODES = {
  notRegistered: {
    id: "DRACPU-401",
    title: "The kubelet has not registered the driver",
    severity: "wrong",
    meaning: "Without registration it prepares no claims here.",
    action:
      "Check --kubelet-root-dir, and that the directories plugins and plugins_registry are mounted at the kubelet's own path.",
  },
  notPublished: {
    id: "DRACPU-402",
    title: "The node's ResourceSlices cannot be published",
    severity: "wrong",
    meaning: "The scheduler knows nothing, or old things, of this node's CPUs.",
    action: "Follow the API server's words; check the driver's rights on resourceslices and nodes.",
  },
  fieldDropped: {
    id: "DRACPU-403",
    title: "The API server drops something that the driver publishes",
    severity: "warning",
    meaning: "A feature gate is off, or the server is of another version. The driver offers what is left.",
    action: "Switch the gate on that the sentence names, on API server and scheduler, or change the driver's settings.",
  },
  nothingOffered: {
    id: "DRACPU-404",
    title: "No CPU is left to offer",
    severity: "warning",
    meaning: "All CPUs are reserved or kept for the shared pool.",
    action: "Lower --reserved-cpus or --keep-shared.",
  },
  apiUnreachable: {
    id: "DRACPU-405",
    title: "The API server cannot be asked",
    severity: "wrong",
    meaning: "Claims that run keep their CPUs; new ones cannot be read.",
    action: "Check --kubeconfig or the service account, the network, and the API server.",
  },
  apiTooOld: {
    id: "DRACPU-406",
    title: "The cluster is older than this driver needs",
    severity: "wrong",
    meaning: "resource.k8s.io/v1 came with 1.34; shared devices are on by default from 1.36.",
    action:
      "Upgrade the cluster. With 1.34 and 1.35 turn the feature gate DRAConsumableCapacity on, in API server, scheduler and controller manager, or use --cpu-device-mode individual.",
  },
  machineUnclear: {
    id: "DRACPU-501",
    title: "The kernel does not tell everything about this machine",
    severity: "warning",
    meaning: "A part of the topology is unknown, or a setting does not fit this machine. CPUs concerned stay usable.",
    action: "Compare dracpu topology with the machine; report what is read wrongly with dracpu topology -o overlay.",
  },
  cpuManagerStatic: {
    id: "DRACPU-502",
    title: "The kubelet's own CPU manager is on",
    severity: "wrong",
    meaning:
      "Policy static writes cpusets of its own and takes CPUs that this driver gives to claims. The node is unsuitable: it offers no CPUs and prepares no new claims; those that run keep theirs.",
    action: "Set cpuManagerPolicy: none in the kubelet's configuration, remove cpu_manager_state, restart the kubelet.",
  },
  reservedDiffer: {
    id: "DRACPU-503",
    title: "Reserved CPUs of kubelet and driver differ",
    severity: "warning",
    meaning: "The kubelet counts other CPUs as reserved than this driver withholds.",
    action: "Give the same list to reservedSystemCPUs of the kubelet and --reserved-cpus of the driver.",
  },
  nriOff: {
    id: "DRACPU-504",
    title: "The runtime has no NRI socket",
    severity: "wrong",
    meaning:
      "Without NRI no container can be pinned. Where there was none since the agent's start the node is unsuitable: it offers no CPUs.",
    action:
      "Switch NRI on in the runtime's configuration (on by default from containerd 2.0), or give the agent the right --nri-socket.",
  },
  cdiOff: {
    id: "DRACPU-505",
    title: "CDI devices do not reach containers",
    severity: "wrong",
    meaning:
      "A claim's containers get their variables and the gate from CDI files. The directory cannot be used, or the runtime leaves CDI devices out. Whether the runtime's CDI is on cannot be known at the start: the first container of a claim shows it, and is refused. containerd 2.0 and 2.1 with enable_cdi = false show nothing: they leave the device out and do not tell the agent of it, and the container runs in the shared pool (DRACPU-215 tells after a minute). From 2.4 on CDI is always on.",
    action:
      "Switch CDI on in the runtime (enable_cdi of containerd, on by default from 2.0), and give --cdi-dir a directory that it reads (cdi_spec_dirs) and the driver can write.",
  },
  otherPlugins: {
    id: "DRACPU-506",
    title: "Another NRI plugin is installed",
    severity: "warning",
    meaning:
      "Two plugins that both set cpusets make container creation fail. Only dracpu doctor on the node sees what is installed there; in the driver's pod another plugin shows by creations that fail (DRACPU-317).",
    action: "Make sure that the other plugin sets no cpuset, or remove it.",
  },
  leverWeak: {
    id: "DRACPU-507",
    title: "The kernel itself keeps nobody off claims here",
    severity: "warning",
    meaning:
      "Partitions need cgroup v2 and Linux 6.7; here masks are used, which hold containers of the runtime and no host processes.",
    action: "Nothing, where that is enough. Else use a newer kernel with cgroup v2.",
  },
  diskFull: {
    id: "DRACPU-508",
    title: "The disk of the driver's state is nearly full",
    severity: "wrong",
    meaning: "Without room for its checkpoint the driver prepares nothing.",
    action: "Free space on the file system that the sentence names.",
  },
  hostProcesses: {
    id: "DRACPU-509",
    title: "Processes outside of Kubernetes run on claims' CPUs, or may",
    severity: "warning",
    meaning:
      "With masks, host services and other programs are not kept off. The agent tells of it when they take more than --foreign-load percent of a CPU for half a minute, with the cgroups outside of pods that work meanwhile; dracpu doctor on the node names the processes that may.",
    action:
      "Set AllowedCPUs of the slices (system.slice, user.slice) to the reserved or shared CPUs, or use a kernel with partitions.",
  },
  runtimeOld: {
    id: "DRACPU-510",
    title: "The runtime's NRI is old",
    severity: "warning",
    meaning:
      "It does not show CDI devices, so a claim's container is known by its variable and its gate mount, not by the kubelet's own word.",
    action: "Use containerd 2.2 or later, or CRI-O with NRI 0.10 or later.",
  },
  checkpointDamaged: {
    id: "DRACPU-601",
    title: "The driver's checkpoint cannot be used",
    severity: "wrong",
    meaning:
      "It is damaged, or of another version. The driver sets it aside and rebuilds it from CDI files and the agent.",
    action: "Look at the disk. Report it with dracpu gather if no disk failed.",
  },
  checkpointUnwritable: {
    id: "DRACPU-602",
    title: "The driver's files cannot be written",
    severity: "wrong",
    meaning: "Checkpoint or CDI file could not be made durable, so the claim is not prepared.",
    action: "Free space or correct rights as the sentence says.",
  },
  cdiMissing: {
    id: "DRACPU-603",
    title: "A prepared claim has no CDI file",
    severity: "wrong",
    meaning: "A container of it that is created now fails with an unresolvable device.",
    action: "A running driver writes it again within seconds; see its log where it does not.",
  },
  cdiStale: {
    id: "DRACPU-604",
    title: "A CDI file belongs to no claim of this node",
    severity: "warning",
    meaning: "Nobody holds its CPUs; it was left by an earlier life or another driver.",
    action: "Delete the file once no pod uses it.",
  },
  cdiUnreadable: {
    id: "DRACPU-605",
    title: "A CDI file of this driver cannot be read",
    severity: "wrong",
    meaning: "It was cut or changed by somebody else.",
    action: "Delete it; a running driver writes it again for its claim.",
  },
  notKnown: {
    id: "DRACPU-606",
    title: "Something could not be looked at",
    severity: "warning",
    meaning: "The command lacks a right or a path, so the answer has a hole there.",
    action: "Run it as root on the node or in the driver's container, or give it the paths.",
  },
} as const satisfies Record<string, Code>;
