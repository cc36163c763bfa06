/** What a room may import, beside generated code and cpuset, which everybody may. */
export type Kind = "pure" | "use-case" | "edge" | "compose" | "main";

/** Every room of the products, by package. A room that is not here does not belong. */
export const ROOMS: Readonly<Record<string, Readonly<Record<string, Kind>>>> = {
  "shared-proto": {
    cpuset: "pure",
    contract: "pure",
    codes: "pure",
    socket: "edge",
    disk: "edge",
    observe: "edge",
    lifecycle: "edge",
    settings: "edge",
    client: "edge",
  },
  driver: {
    topology: "pure",
    allocator: "pure",
    slices: "pure",
    claims: "pure",
    cdi: "pure",
    ledger: "pure",
    picture: "pure",
    doctor: "pure",
    cluster: "pure",
    prepare: "use-case",
    publish: "use-case",
    preconditions: "use-case",
    report: "use-case",
    uninstall: "use-case",
    sysfs: "edge",
    disk: "edge",
    apiserver: "edge",
    kubelet: "edge",
    inspect: "edge",
    host: "edge",
    page: "edge",
    commands: "compose",
    kubectl: "compose",
    control: "edge",
    http: "edge",
    config: "edge",
    cli: "edge",
  },
  "nri-agent": {
    nri: "pure",
    pool: "pure",
    masks: "pure",
    partitions: "pure",
    truth: "pure",
    enforce: "use-case",
    runtime: "edge",
    cgroup: "edge",
    proc: "edge",
    control: "edge",
    inspect: "edge",
    sysfs: "edge",
    disk: "edge",
    http: "edge",
    config: "edge",
  },
};

/** Imports that the direction forbids and that have a reason; a new one needs one too. */
export const EXCEPTIONS: Readonly<Record<string, string>> = {
  "nri-agent/control -> nri-agent/inspect": "both sockets serve the one stream of events",
  "nri-agent/config -> nri-agent/cgroup": "the type of the lever's names alone",
  "shared-proto/socket -> shared-proto/lifecycle": "waiting for a lock can be cancelled",
  "shared-proto/contract -> node:crypto": "a hash is computed, nothing is touched",
};

/** Shared edges that use cases may use: waiting, with cancellation. */
export const FOR_USE_CASES: readonly string[] = ["shared-proto/lifecycle"];

/** Libraries that compute and touch nothing; the only ones a pure room may use. */
export const PURE_LIBRARIES: readonly string[] = ["@bufbuild/protobuf", "fastest-levenshtein"];
