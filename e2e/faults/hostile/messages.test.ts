import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { CallFault } from "@dracpu/nri-agent/runtime/channel.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  ContainerSchema,
  CreateContainerRequestSchema,
  CreateContainerResponseSchema,
  PodSandboxSchema,
  PostCreateContainerRequestSchema,
  StateChangeEventSchema,
  SynchronizeRequestSchema,
  UpdateContainerRequestSchema,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { expect } from "chai";
import fc from "fast-check";
import { AgentNode, CLAIM, encode, HELD, OWNER } from "./agentnode.ts";
import { corpus, mutated, runs } from "./mutate.ts";

const METHODS = [
  "CreateContainer",
  "PostCreateContainer",
  "StartContainer",
  "PostStartContainer",
  "UpdateContainer",
  "PostUpdateContainer",
  "StopContainer",
  "RemoveContainer",
  "StateChange",
  "Synchronize",
  "Configure",
  "ValidateContainerAdjustment",
] as const;
type Method = (typeof METHODS)[number];

/** Words that mean something to the agent, and words that look so. */
const word = fc.constantFrom(
  ...[
    "",
    "0",
    "2-3",
    "0-7",
    "2,3",
    "-1",
    "0-99999999",
    "1-",
    "3-2",
    "2-3\n",
    " 2-3",
    "２-３",
    "NaN",
    "0x2",
    "2-3,2-3",
    "\0",
  ],
);
const uid = fc.constantFrom(CLAIM, "", "x", "../..", CLAIM.toUpperCase(), `${CLAIM}x`, "__proto__", "constructor");
const device = fc
  .tuple(uid, fc.constantFrom("", "-cpus", "-other", "-", "-../cpus", "-cpus\0"))
  .map(([of, request]) => `dra.k8s.io/cpu=claim-${of}${request}`);
const env = fc.oneof(
  fc
    .tuple(fc.constantFrom("DRA_CPUSET_", "DRA_CPUSHARE_", "DRA_CPUS", "dra_cpuset_"), uid, word)
    .map(([name, of, value]) => `${name}${of}=${value}`),
  fc.constantFrom("DRA_CPUSET_", "DRA_CPUSET_=", `DRA_CPUSET_${CLAIM}`, "=", "", "DRA_CPUS=2-3"),
  fc.string({ maxLength: 30 }),
);
const path = fc.constantFrom(
  ...[
    "",
    "/",
    "..",
    "/../../etc",
    "/kubepods/other/theirs/../../owner/mine",
    "kubepods:cri:x",
    "a-b.slice:cri:x",
    ":::",
  ],
  ...["/kubepods/new/thing", "kubepods.slice:cri-containerd:thing", "x".repeat(5000), "/a\0b"],
);

/** A container of a pod that the claim is not reserved for, whatever it says of itself. */
const stranger = fc.record({
  pod: fc.record({
    id: fc.constantFrom("sandbox-other", "sandbox-thief", "", "x"),
    uid: fc.constantFrom("thief", "other", "", CLAIM, `${OWNER} `),
    name: fc.constantFrom(OWNER, "thief", "", "a/b"),
    namespace: fc.constantFrom("default", "", "kube-system"),
    annotations: fc.dictionary(fc.constantFrom("dra.cpu/claims", "cdi.k8s.io/x"), uid),
  }),
  container: fc.record({
    id: fc.constantFrom("thing", "thing2", "x".repeat(64), "é", "__proto__"),
    podSandboxId: fc.constantFrom("sandbox-thief", "sandbox-other", ""),
    name: fc.constantFrom("mine", "main", ""),
    state: fc.constantFrom(0, 1, 2, 3, 4, 99),
    env: fc.array(env, { maxLength: 6 }),
    annotations: fc.dictionary(fc.constantFrom("dra.cpu/claims", "cdi.k8s.io/claim", "__proto__"), uid),
    mounts: fc.array(fc.record({ destination: fc.constantFrom("/run/dra-driver-cpu/gate-v1", "-/x", "") }), {
      maxLength: 2,
    }),
    CDIDevices: fc.array(
      device.map((name) => ({ name })),
      { maxLength: 3 },
    ),
    linux: fc.record({ cgroupsPath: path, resources: fc.record({ cpu: fc.record({ cpus: word }) }) }),
  }),
});
type Stranger = typeof stranger extends fc.Arbitrary<infer T> ? T : never;

function payload(method: Method, { pod, container }: Stranger): Uint8Array {
  const about = {
    pod: pod as MessageInitShape<typeof PodSandboxSchema>,
    container: container as MessageInitShape<typeof ContainerSchema>,
  };
  switch (method) {
    case "CreateContainer":
      return encode(CreateContainerRequestSchema, about);
    case "UpdateContainer":
      return encode(UpdateContainerRequestSchema, about);
    case "StateChange":
      return encode(StateChangeEventSchema, { ...about, event: about.container.state ?? 0 });
    case "Synchronize":
      return encode(SynchronizeRequestSchema, { pods: [about.pod], containers: [about.container] });
    default:
      return encode(PostCreateContainerRequestSchema, about);
  }
}

describe("hostile NRI messages", function () {
  this.timeout(600_000);
  let node: AgentNode;
  const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));
  const onNode = async (run: () => Promise<void>): Promise<void> => {
    node = new AgentNode();
    await node.start();
    try {
      await run();
      await settled();
      expect(node.wrong()).to.deep.equal([]);
    } finally {
      node.stop();
    }
  };

  it("of containers that claim what is not theirs move no CPU, and fail no hook", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom(...METHODS), stranger), { maxLength: 8 }), (calls) =>
        onNode(async () => {
          for (const [method, who] of calls) {
            const answer = await node.call(method, payload(method, who));
            if (method !== "CreateContainer" || answer instanceof CallFault) continue;
            const cpus = fromBinary(CreateContainerResponseSchema, answer).adjust?.linux?.resources?.cpu?.cpus ?? "";
            expect(CpuSet.parse(cpus).overlaps(HELD), `created on ${cpus}`).to.equal(false);
          }
        }),
      ),
      runs(1500),
    ));

  it("of any bytes are refused in words or do no harm", () => {
    const seeds = corpus("messages");
    const call = fc.tuple(fc.constantFrom(...METHODS), mutated([...seeds.values()]));
    return fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 8 }), (calls) =>
        onNode(async () => {
          for (const [method, bytes] of calls) {
            // A Synchronize that lists the claim's container as another one's is the runtime's own word.
            if (method === "Synchronize" && Buffer.from(bytes).includes("mine")) continue;
            const answer = await node.call(method, bytes);
            if (answer instanceof CallFault) expect(answer.message).to.match(/^(dra\.cpu: |unknown |Synchronize )/);
          }
        }),
      ),
      runs(1500),
    );
  });

  for (const [name, bytes] of corpus("messages"))
    it(`corpus: ${name}`, () =>
      onNode(async () => {
        for (const method of METHODS) await node.call(method, bytes);
      }));
});
