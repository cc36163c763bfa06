import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { unixTransport } from "@dracpu/shared-proto/client/call.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { LET_GO, PROTOCOL_MAX, PROTOCOL_MIN } from "@dracpu/shared-proto/contract/names.ts";
import type { MachineRecord } from "@dracpu/shared-proto/contract/records.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { machineToWire } from "@dracpu/shared-proto/contract/wire.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { Control } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { GetStateRequestSchema, Inspect } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { ContainerPhase, SessionState, Truth } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { AgentView, LettingGo } from "../uninstall/ports.ts";

/** A driver without claims, on a machine without reserved CPUs: the agent then gives every container all CPUs, but for those of claims that still live, which stay where they are. */
export class LastDriver implements LettingGo {
  readonly #sockets: { readonly control: string; readonly inspect: string };
  readonly #machine: MachineRecord;
  readonly #instance = randomUUID();
  /** Why the agent cannot do all of it; empty where it can. */
  #lacks = "";

  constructor(
    sockets: { readonly control: string; readonly inspect: string },
    machine: Omit<MachineRecord, "reserved" | "keepShared">,
  ) {
    this.#sockets = sockets;
    this.#machine = { ...machine, reserved: CpuSet.empty, keepShared: CpuSet.empty };
  }

  async letGo(signal: AbortSignal): Promise<void> {
    const client = createClient(Control, unixTransport(this.#sockets.control));
    const said = await client.hello(
      {
        driverInstance: this.#instance,
        driverVersion: VERSION,
        protocolMin: PROTOCOL_MIN,
        protocolMax: PROTOCOL_MAX,
      },
      { signal },
    );
    this.#lacks = said.features.includes(LET_GO)
      ? ""
      : `agent ${said.agentVersion} cannot give up claims' partitions and masks; one of release ${VERSION} can`;
    await client.replace(
      {
        epoch: said.highestEpoch + 1n,
        revision: 1n,
        machine: machineToWire(this.#machine),
        allocations: [],
        letGo: true,
        operationId: "clean",
      },
      { signal },
    );
  }

  async view(signal: AbortSignal): Promise<AgentView> {
    const client = createClient(Inspect, unixTransport(this.#sockets.inspect));
    const { state } = await client.getState(create(GetStateRequestSchema), { signal });
    const isOff = state?.problemCodes.includes(CODES.nriOff.id) === true;
    const blind = (why: string, forGood = isOff): AgentView => ({ blind: why, forGood, wrong: [] });
    if (state?.nri?.state !== SessionState.SYNCHRONIZED)
      return blind(`the agent has no session with the container runtime: ${state?.nri?.why ?? ""}`);
    if (state.truth !== Truth.CONFIRMED) {
      // It has restarted since, and keeps no memory of it.
      await this.letGo(signal);
      return blind("the agent has restarted, and was told of this clean-up once more");
    }
    const wrong = state.containers.filter(
      ({ mask, phase, partition }) =>
        phase === ContainerPhase.RUNNING &&
        (partition !== "" || (mask !== undefined && mask.wanted !== "" && mask.wanted !== mask.own)),
    );
    if (wrong.length > 0 && this.#lacks !== "") return blind(this.#lacks, true);
    return {
      blind: "",
      forGood: false,
      wrong: wrong.map(({ ref }) => `${ref?.podNamespace}/${ref?.podName}/${ref?.name}`),
    };
  }
}
