import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import * as names from "@dracpu/shared-proto/contract/names.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { EventSchema, type Event } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import type { Program } from "@dracpu/shared-proto/lifecycle/program.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { probe, readiness, servePages } from "@dracpu/shared-proto/observe/httpserver.ts";
import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import { watchProcess } from "@dracpu/shared-proto/observe/processmetrics.ts";
import { Ring } from "@dracpu/shared-proto/observe/ring.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { CpusetFiles, findCpuset } from "./cgroup/cpusetfs.ts";
import { KernelUsage } from "./cgroup/usage.ts";
import { findLevers } from "./cgroup/levers.ts";
import type { AgentSettings } from "./config/settings.ts";
import { serveControl } from "./control/serve.ts";
import { AgentFile } from "./disk/agentfile.ts";
import { Enforcer } from "./enforce/enforcer.ts";
import type { EventRing } from "./enforce/ports.ts";
import { AgentMetrics } from "./http/metrics.ts";
import { serveInspect } from "./inspect/serve.ts";
import { nriAbilities } from "./nri/version.ts";
import { HostThreads } from "./proc/threads.ts";
import { Runtime } from "./runtime/runtime.ts";
import { SysfsMachine } from "./sysfs/online.ts";

const EVENTS_KEPT = 4096;
/** Without a file of our own the driver is given this long before the runtime is told of us. */
const FIRST_DRIVER_MS = 3000;
const noContainers = create(GetStateRequestSchema, { maxContainers: 1 });

/**
 * Puts the agent together and starts it, once it holds the lock: own file, sockets, then the runtime; at once where the own file tells of claims, else after
 * the driver's first word or a short wait. Stopping goes the other way: NRI is left last.
 */
export async function startAgent(program: Program, settings: AgentSettings, log: LogWriter): Promise<void> {
  const { signal } = program;
  const instance = randomUUID();
  // Stopping goes in reverse, so the runtime is left after everybody who waits for claims has had an answer.
  const nri = new AbortController();
  program.onStop(() => nri.abort());

  const hierarchy = findCpuset(settings.cgroupRoot);
  const levers = findLevers(hierarchy, settings.lever);
  log.info("found how to keep CPUs exclusive here", {
    cgroup: `v${hierarchy.version}`,
    lever: levers.force,
    masks: levers.masks,
    why: levers.why,
  });

  const metrics = new AgentMetrics(VERSION, {
    session: () => runtime.report(),
    sharedCpus: () => poolSize("shared"),
    heldCpus: () => poolSize("held"),
    mismatched: () => enforcer.mismatched(),
    findings: () => enforcer.problems(),
  });
  const ring = new Ring<Event>(EVENTS_KEPT);
  const events: EventRing = {
    get lastSeq() {
      return ring.lastSeq;
    },
    after: (seq) => ring.after(seq),
    subscribe: (listener) => ring.subscribe(listener),
    add: (event) => ring.push((seq) => create(EventSchema, { ...event, seq, timeMs: BigInt(Date.now()) })),
  };
  const file = new AgentFile(settings.stateDir);
  let driverSpoke: () => void = () => {};
  const firstDriver = new Promise<void>((resolve) => {
    driverSpoke = resolve;
  });
  const enforcer: Enforcer = new Enforcer({
    cgroup: new CpusetFiles(hierarchy),
    machine: new SysfsMachine(settings.sysfsRoot, settings.pinMemory, (cause) =>
      log.warn("the machine's sysfs cannot be read; what was known of it before is taken", { cause }),
    ),
    levers,
    memory: file,
    usage: new KernelUsage(hierarchy, settings.cgroupRoot),
    threads: new HostThreads(settings.hostProc),
    foreignLoad: settings.foreignLoad / 100,
    clock: {
      now: () => performance.now(),
      unix: () => Date.now(),
      later: (ms, task) => {
        const timer = setTimeout(task, ms);
        return () => clearTimeout(timer);
      },
      yield: () => turn(),
    },
    observer: {
      info: (message, fields) => log.info(message, fields),
      warn: (message, fields) => log.warn(message, fields),
      error: (message, fields) => log.error(message, fields),
      count: (name) => metrics.count(name),
      refused: (reason) => metrics.refused(reason),
      moved: (ms) => metrics.moved(ms / 1000),
    },
    events,
    calls: { updateContainers: (updates) => runtime.updateContainers(updates) },
    names: {
      cdiKind: names.CDI_KIND,
      envPrefix: names.CPUSET_ENV_PREFIX,
      shareEnvPrefix: names.CPUSHARE_ENV_PREFIX,
      cpusVariable: names.CPUS_ENV,
      gatePaths: names.GATE_PATHS,
      annotation: names.MARK_ANNOTATION,
    },
    identity: {
      instance,
      version: VERSION,
      protocolMin: names.PROTOCOL_MIN,
      protocolMax: names.PROTOCOL_MAX,
      features: names.FEATURES,
    },
    ownPodUid: settings.podUid,
    factsOf: (session) => nriAbilities(session.runtime),
    session: () => runtime.report(),
    tally: () => metrics.tally(),
  });
  const runtime: Runtime = new Runtime({
    socketPath: settings.nriSocket,
    pluginName: names.DRIVER_NAME,
    pluginIndex: settings.pluginIndex,
    hooks: enforcer.hooks,
    log,
    onHook: (method, seconds) => {
      metrics.hook(method, seconds);
      log.debug("answered the runtime", { method, seconds });
    },
    newId: randomUUID,
    random: Math.random,
    now: () => performance.now(),
    pause,
  });
  const poolSize = (which: "shared" | "held"): number => {
    const pool = enforcer.state(noContainers).pool;
    return CpuSet.parse((which === "shared" ? pool?.shared : pool?.held) ?? "").size;
  };

  const loaded = await file.load();
  if (loaded.kind === "memory") enforcer.restore(loaded.memory);
  if (loaded.kind === "damaged")
    log.error("the agent's own file is damaged and was set aside", { file: loaded.aside, cause: loaded.why });

  enforcer.start();
  program.onStop(() => enforcer.stop());
  const control = {
    hello: enforcer.hello,
    apply: enforcer.apply,
    await: enforcer.await,
    events,
    replace: async (request: Parameters<Enforcer["replace"]>[0]) => {
      const response = await enforcer.replace(request);
      driverSpoke();
      return response;
    },
  };
  program.onStop(await serveControl(settings.controlSocket, control, signal));
  mkdirSync(dirname(settings.inspectSocket), { recursive: true, mode: 0o755 });
  program.onStop(await serveInspect(settings.inspectSocket, enforcer, VERSION, signal));
  if (settings.bindAddress !== "") {
    program.onStop(
      await servePages(settings.bindAddress, {
        "/healthz": probe(() => []),
        "/readyz": readiness(() => enforcer.saysOfItself()),
        "/metrics": async () => ({
          status: 200,
          type: metrics.registry.contentType,
          body: await metrics.registry.metrics(),
        }),
      }),
    );
  }
  log.info("serving", {
    control: settings.controlSocket,
    inspect: settings.inspectSocket,
    instance,
    afterMs: Math.round(performance.now()),
  });
  watchProcess(metrics.registry);

  if (loaded.kind !== "memory") await Promise.race([firstDriver, pause(FIRST_DRIVER_MS, signal)]);
  program.supervise(runtime.run(nri.signal));
}
