import { randomUUID } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { codeOf, CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { DRIVER_NAME } from "@dracpu/shared-proto/contract/names.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { EventKind, type Event } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import type { Program } from "@dracpu/shared-proto/lifecycle/program.ts";
import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import { watchProcess } from "@dracpu/shared-proto/observe/processmetrics.ts";
import { cdiOf } from "./compose/cdi.ts";
import { Checkpoint, readMemory } from "./compose/checkpoint.ts";
import { healthSource } from "./compose/health.ts";
import { known } from "./compose/known.ts";
import { LiveMachine } from "./compose/livemachine.ts";
import { readingsOf } from "./compose/readings.ts";
import { servePagesOf } from "./compose/pages.ts";
import { preconditionsOf } from "./compose/preconditions.ts";
import { problemsOf, tellProblems } from "./compose/problems.ts";
import { ApiServer } from "./apiserver/apiserver.ts";
import { ApiHttp } from "./apiserver/http.ts";
import type { DriverSettings } from "./config/settings.ts";
import { tellServed } from "./compose/served.ts";
import { Sight } from "./compose/sight.ts";
import { AgentClient } from "./control/agentclient.ts";
import { CheckpointFile } from "./disk/checkpointfile.ts";
import { DriverMetrics } from "./http/metrics.ts";
import { AgentInspect } from "./inspect/agentinspect.ts";
import { Kubelet } from "./kubelet/kubelet.ts";
import type { Memory } from "./ledger/checkpoint.ts";
import { Ledger } from "./ledger/ledger.ts";
import { entryOf } from "./picture/timeline.ts";
import { AgentLink } from "./prepare/agentlink.ts";
import { Preparer } from "./prepare/preparer.ts";
import { PerKey, Shortage } from "./prepare/queue.ts";
import { adoptHeld, nameBare } from "./prepare/adoption.ts";
import { Rebuilding } from "./prepare/rebuilding.ts";
import { CdiKeeper } from "./prepare/cdikeeper.ts";
import { collectGone, finishPreparing, type RecoveryParts } from "./prepare/recovery.ts";
import { Reservations } from "./prepare/reservations.ts";
import { Releaser } from "./prepare/releaser.ts";
import { NodeTaint } from "./publish/nodetaint.ts";
import { Publisher } from "./publish/publisher.ts";
import { ClaimStatus } from "./report/claimstatus.ts";
import { tidingsOf } from "./report/agentevents.ts";
import { claimNamed, Reporter } from "./report/reporter.ts";
import { devicesFor, wishes } from "./slices/kept.ts";

/**
 * Puts the driver together and starts it, once it holds the lock: topology, checkpoint, then at once the kubelet's sockets, since a valid checkpoint alone is
 * enough to serve; agent and API server are come to in their own time.
 */
export async function startDriver(program: Program, settings: DriverSettings, log: LogWriter): Promise<void> {
  const { signal } = program;
  const ledger = new Ledger();
  const live: LiveMachine = new LiveMachine(settings, ledger, log, (text) => {
    sight.happened("machine", text);
    publisher.kick();
    link.machineChanged(signal);
    shortage.released();
  });
  const { bootId } = live.parts.record;
  const file = new CheckpointFile(settings.stateDir);
  const cdi = cdiOf(settings, () => live.parts.plan);
  let epoch = 0n;
  let later: Pick<Memory, "later"> = {};
  const checkpoint = new Checkpoint(() =>
    file.save({ bootId, epoch, entries: ledger.entries(), complete: rebuilding.isComplete, ...later }),
  );

  const loaded = await readMemory(file, ledger, bootId, log);
  ({ epoch, later } = loaded);
  const rebuilding: Rebuilding = new Rebuilding({
    ledger,
    cdi,
    log,
    complete: loaded.isComplete,
    onComplete: () => {
      checkpoint
        .save()
        .catch((cause: unknown) => log.error("the checkpoint cannot be written", { cause: (cause as Error).message }));
    },
  });
  await rebuilding.readFiles();
  const http = new ApiHttp(settings.kubeconfig, (call) => log.debug("asked the API server", call));
  const api = new ApiServer(http, log);
  const metrics = new DriverMetrics(
    VERSION,
    readingsOf({
      ledger,
      settings,
      parts: () => live.parts,
      findings: () => problems(),
      agentConnected: () => link.state().connected,
      published: () => publisher.state().published,
    }),
  );
  const link: AgentLink = new AgentLink({
    agent: new AgentClient(settings.agentSocket, (method, result, seconds) => {
      metrics.called(method, result, seconds);
      log.debug("asked the NRI agent", { method, result, seconds });
    }),
    ledger,
    machine: () => live.parts.record,
    instance: randomUUID(),
    log,
    epoch: {
      get: () => epoch,
      set: (next) => {
        epoch = next;
        return checkpoint.save();
      },
    },
    onEvent: (event) => onAgentEvent(event),
    onAgentMemory: (allocations) => {
      rebuilding.agentRemembers(() => known(allocations, log));
      releaser.start(signal);
    },
    adoptHeld: (allocation) => {
      for (const held of known([allocation], log)) adoptHeld(recovery, held);
    },
  });
  const reporter = new Reporter({
    api,
    driver: DRIVER_NAME,
    nodeName: settings.nodeName,
    log,
    now: () => performance.now(),
    time: () => Date.now(),
    onDropped: () => metrics.eventDropped(),
  });
  const status = new ClaimStatus({
    api,
    driver: DRIVER_NAME,
    candidates: () => live.parts.offer.candidates,
    log,
    now: () => Date.now(),
    entry: (uid) => ledger.get(uid),
  });
  const shortage = new Shortage();
  const perClaim = new PerKey();
  const releaser = new Releaser({
    ledger,
    checkpoint,
    cdi,
    link,
    shortage,
    log,
    onWaits: ({ claim }) => {
      if (claim.name !== "")
        reporter.tell(
          claimNamed(claim),
          "ClaimStillInUse",
          `${CODES.claimStillInUse.title}: its CPUs go to nobody until they are gone`,
          signal,
        );
    },
  });
  const recovery: RecoveryParts = {
    ledger,
    checkpoint,
    cdi,
    link,
    releaser,
    perClaim,
    reader: api,
    log,
    driver: DRIVER_NAME,
    random: Math.random,
  };
  const cdiKeeper = new CdiKeeper(recovery);
  const reservations = new Reservations(recovery);
  const onAgentEvent = (event: Event): void => {
    sight.tell(entryOf(event));
    if (event.kind === EventKind.SESSION) preconditions.kick();
    const tidings = tidingsOf(event, settings.nodeName, Date.now());
    if (tidings !== undefined) reporter.tell(tidings.about, tidings.reason, event.message, signal, codeOf(event.code));
    if (event.reason !== "RESERVATION_UNKNOWN") return;
    for (const claim of event.claims) reservations.readAgain(claim.uid, signal);
  };
  const preparer = new Preparer({
    reader: api,
    ledger,
    checkpoint,
    cdi,
    link,
    releaser,
    shortage,
    perClaim,
    offer: () => live.look().offer,
    notReady: () => rebuilding.why(),
    unsuited: () => preconditions.unsuited(),
    log,
    newOperationId: () => randomUUID().slice(0, 8),
    onPrepared: (outcome) => {
      metrics.prepared(outcome.result, outcome.seconds, outcome.cpus.size);
      sight.ended("prepared", outcome, outcome.cpus.toString());
    },
    onUnprepared: (outcome) => {
      metrics.unprepared(outcome.result);
      sight.ended("released", outcome, "");
    },
    onServed: tellServed({ status, api, reporter, log, signal }),
    onReleaseFailed: (claim, why) => reporter.tell(claimNamed(claim), "UnprepareFailed", why, signal),
    now: () => performance.now(),
    time: () => Date.now(),
  });
  const taint = new NodeTaint();
  const publisher = new Publisher({
    api,
    driver: DRIVER_NAME,
    nodeName: settings.nodeName,
    devices: (kept) => (preconditions.unsuited() === undefined ? devicesFor(live.parts.plan, kept, taint.taint) : []),
    wishes: wishes(settings.publishNodeAllocatableResourceMapping),
    log,
  });
  const kubelet = new Kubelet({
    rootDir: settings.kubeletRootDir,
    driver: DRIVER_NAME,
    plugin: preparer,
    health: healthSource(live, () => sight),
    log,
    onContact: () => {
      publisher.contact(signal);
      preconditions.kubeletStarted();
    },
  });
  const problems = (): Finding[] =>
    problemsOf({
      kubelet: kubelet.state().why,
      publisher: publisher.state(),
      rebuilding: rebuilding.why(),
      agent: link.state(),
      offers: live.parts.plan,
      others: [...live.findings(), ...preconditions.findings(), ...checkpoint.findings(), ...cdiKeeper.findings()],
    });
  const allProblems = (): Finding[] => [...problems(), ...preconditions.agentFindings()];
  const inspect = new AgentInspect(settings.inspectSocket);
  const preconditions = preconditionsOf(
    settings,
    { api, agent: inspect },
    {
      online: () => live.parts.machine.online,
      log,
      onChange: () => publisher.kick(),
    },
  );
  const sight: Sight = new Sight({
    node: settings.nodeName,
    machine: () => live.parts.machine,
    reserved: settings.reservedCPUs,
    keepShared: () => live.parts.plan.keepShared,
    ledger,
    agent: inspect,
    findings: problems,
  });

  live.tellOffline();
  // Before the kubelet is told of this driver: a port that is in use ends the process here.
  await servePagesOf(program, settings, { metrics, sight, log, problems });
  releaser.start(signal);
  await kubelet.start();
  program.onStop(() => kubelet.stop());
  // Whoever waits at the sockets already is answered before all the rest begins.
  await turn();
  const afterMs = Math.round(performance.now());
  watchProcess(metrics.registry);
  program.supervise(link.run(signal));
  // A node that cannot do the work offers nothing even for a moment.
  program.supervise(Promise.all([preconditions.first, live.sure]).then(() => publisher.run(signal)));
  program.supervise(live.run(signal));
  program.supervise(preconditions.run(signal));
  program.supervise(tellProblems({ problems: allProblems, sight, reporter, node: settings.nodeName }, signal));
  program.supervise(taint.run(allProblems, () => publisher.kick(), log, signal));
  program.supervise(checkpoint.run(signal));
  program.supervise(cdiKeeper.run(signal));
  program.supervise(finishPreparing(recovery, signal));
  program.supervise(rebuilding.keepReading(signal).then(() => nameBare(recovery, signal)));
  program.supervise(collectGone(recovery, (claim) => status.seen(claim, signal), signal));
  log.info("serving", {
    node: settings.nodeName,
    devices: live.parts.plan.devices.length,
    mode: settings.cpuDeviceMode === "grouped" ? `grouped by ${settings.groupBy}` : "individual",
    keepShared: live.parts.plan.keepShared.toString(),
    kubelet: settings.kubeletRootDir,
    afterMs,
  });
}
