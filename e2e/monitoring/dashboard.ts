/** A panel of the dashboard: what it asks, and how it is drawn. */
interface Panel {
  readonly title: string;
  readonly about: string;
  readonly kind: "timeseries" | "stat" | "table";
  readonly unit?: string;
  readonly queries: readonly (readonly [expr: string, legend: string])[];
}

const ON = 'node=~"$node"';
const RATE = "[$__rate_interval]";
const quantile = (of: string, by = ""): string =>
  `histogram_quantile(0.99, sum by (node, le${by}) (rate(${of}_bucket{${ON}}${RATE})))`;

const PANELS: readonly Panel[] = [
  {
    title: "What is wrong",
    about: "By code, as kubectl dracpu doctor says it; see docs/codes.md. Empty where all is well.",
    kind: "table",
    queries: [[`max by (node, code, severity) ({__name__=~"dra_cpu_findings|dra_cpu_agent_findings", ${ON}})`, ""]],
  },
  {
    title: "CPUs for claims",
    about: "Free, held by claims, and withheld (reserved, or kept for the shared pool).",
    kind: "timeseries",
    queries: [[`sum by (node, use) (dra_cpu_numa_node_cpus{${ON}})`, "{{node}} {{use}}"]],
  },
  {
    title: "Free CPUs by NUMA node",
    about: "The most that a claim on one device can get.",
    kind: "timeseries",
    queries: [[`dra_cpu_numa_node_cpus{${ON}, use="free"}`, "{{node}} NUMA {{numa_node}}"]],
  },
  {
    title: "Fragmentation",
    about: "Part of the free CPUs that no single NUMA node has; 0 is best.",
    kind: "timeseries",
    unit: "percentunit",
    queries: [
      [
        `1 - max by (node) (dra_cpu_largest_free_cpus{${ON}}) / (sum by (node) (dra_cpu_numa_node_cpus{${ON}, use="free"}) > 0)`,
        "{{node}}",
      ],
    ],
  },
  {
    title: "Free CPUs by L3 cache",
    about: "",
    kind: "timeseries",
    queries: [[`dra_cpu_l3_free_cpus{${ON}}`, "{{node}} L3 {{l3}}"]],
  },
  {
    title: "Claims",
    about: "That hold CPUs.",
    kind: "timeseries",
    queries: [[`dra_cpu_resource_claims_active{${ON}}`, "{{node}}"]],
  },
  {
    title: "Prepares and Unprepares",
    about: "A second, by result.",
    kind: "timeseries",
    unit: "ops",
    queries: [
      [`sum by (node, result) (rate(dra_cpu_prepare_claims_total{${ON}}${RATE}))`, "{{node}} prepare {{result}}"],
      [`sum by (node, result) (rate(dra_cpu_unprepare_claims_total{${ON}}${RATE}))`, "{{node}} unprepare {{result}}"],
    ],
  },
  {
    title: "Prepare, 99th percentile",
    about: "Waiting for CPUs that others release included.",
    kind: "timeseries",
    unit: "s",
    queries: [[quantile("dra_cpu_prepare_claim_duration_seconds"), "{{node}}"]],
  },
  {
    title: "Calls to the agent, 99th percentile",
    about: "await waits until a claim's CPUs are its own.",
    kind: "timeseries",
    unit: "s",
    queries: [[quantile("dra_cpu_agent_call_duration_seconds", ", method"), "{{node}} {{method}}"]],
  },
  {
    title: "Hooks, 99th percentile",
    about: "The runtime cuts the agent off after 2 s.",
    kind: "timeseries",
    unit: "s",
    queries: [[quantile("dra_cpu_agent_hook_duration_seconds", ", hook"), "{{node}} {{hook}}"]],
  },
  {
    title: "Pool moves, 99th percentile",
    about: "From a change of the shared pool until nobody is outside.",
    kind: "timeseries",
    unit: "s",
    queries: [[quantile("dra_cpu_agent_pool_move_seconds"), "{{node}}"]],
  },
  {
    title: "Escapes, repairs, lost updates, refusals",
    about: "In the interval.",
    kind: "timeseries",
    queries: [
      [`increase(dra_cpu_agent_escapes_total{${ON}}${RATE})`, "{{node}} escapes"],
      [`increase(dra_cpu_agent_repairs_total{${ON}}${RATE})`, "{{node}} repairs"],
      [`increase(dra_cpu_agent_lost_updates_total{${ON}}${RATE})`, "{{node}} lost updates"],
      [`sum by (node, reason) (increase(dra_cpu_agent_refusals_total{${ON}}${RATE}))`, "{{node}} {{reason}}"],
    ],
  },
  {
    title: "Containers outside their masks",
    about: "Now.",
    kind: "stat",
    queries: [[`sum by (node) (dra_cpu_agent_mismatched_containers{${ON}})`, "{{node}}"]],
  },
  {
    title: "Session with the runtime",
    about: "1 while synchronized; and how many there were.",
    kind: "timeseries",
    queries: [
      [`dra_cpu_agent_nri_synchronized{${ON}}`, "{{node}}"],
      [`dra_cpu_agent_nri_connections{${ON}}`, "{{node}} connections"],
    ],
  },
  {
    title: "Memory",
    about: "Resident, of both programs.",
    kind: "timeseries",
    unit: "bytes",
    queries: [[`process_resident_memory_bytes{${ON}}`, "{{node}} {{instance}}"]],
  },
];

/** Every query, for whoever asks them. */
export const QUERIES: readonly string[] = PANELS.flatMap((panel) => panel.queries.map(([expr]) => expr));

/** charts/dra-driver-cpu/files/dashboard.json: Grafana's model, with variables for data source and node. */
export function dashboard(): object {
  const datasource = { type: "prometheus", uid: "${datasource}" };
  return {
    title: "dra-driver-cpu",
    uid: "dra-driver-cpu",
    tags: ["kubernetes", "cpu"],
    schemaVersion: 39,
    refresh: "30s",
    time: { from: "now-6h", to: "now" },
    templating: {
      list: [
        { name: "datasource", type: "datasource", query: "prometheus", label: "Data source" },
        {
          name: "node",
          type: "query",
          label: "Node",
          datasource,
          query: { query: "label_values(dra_cpu_driver_build_info, node)", refId: "node" },
          includeAll: true,
          multi: true,
          refresh: 2,
        },
      ],
    },
    panels: PANELS.map((panel, n) => ({
      id: n + 1,
      title: panel.title,
      description: panel.about,
      type: panel.kind,
      datasource,
      gridPos: { x: (n % 2) * 12, y: Math.floor(n / 2) * 8, w: 12, h: 8 },
      fieldConfig: { defaults: { ...(panel.unit === undefined ? {} : { unit: panel.unit }), min: 0 }, overrides: [] },
      targets: panel.queries.map(([expr, legendFormat], m) => ({
        refId: String.fromCodePoint(65 + m),
        datasource,
        expr,
        legendFormat,
        ...(panel.kind === "table" ? { format: "table", instant: true } : {}),
      })),
    })),
  };
}
