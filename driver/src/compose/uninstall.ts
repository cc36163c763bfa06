import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DRIVER_NAME } from "@dracpu/shared-proto/contract/names.ts";
import type { Program } from "@dracpu/shared-proto/lifecycle/program.ts";
import { probe, servePages } from "@dracpu/shared-proto/observe/httpserver.ts";
import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import { holdLock } from "@dracpu/shared-proto/socket/lock.ts";
import { ApiServer } from "../apiserver/apiserver.ts";
import { cleanUpProgress, nodesWithPod, removeCleanUp } from "../apiserver/cleanup.ts";
import { ApiHttp } from "../apiserver/http.ts";
import type { DriverSettings } from "../config/settings.ts";
import { LastDriver } from "../control/lettinggo.ts";
import { NodeFiles } from "../disk/ownfiles.ts";
import { sysfsOf } from "../sysfs/source.ts";
import { readMachine } from "../topology/read.ts";
import { awaitClean } from "../uninstall/await.ts";
import { cleanNode } from "../uninstall/clean.ts";
import { inUse } from "../uninstall/inuse.ts";
import type { DaemonSetName } from "../uninstall/ports.ts";

const ASK_MS = 30_000;

/**
 * @param of whose pods run the driver: claims of other nodes are another release's. Where it is not there, or none is named, all claims count.
 * @returns the claims that keep an uninstallation from being harmless, one line each.
 */
export async function claimsInUse(
  settings: DriverSettings,
  of: DaemonSetName | undefined,
  log: LogWriter,
): Promise<string[]> {
  const http = new ApiHttp(settings.kubeconfig);
  const signal = AbortSignal.timeout(ASK_MS);
  const nodes = of === undefined ? undefined : await nodesWithPod(http, of, signal);
  return inUse(await new ApiServer(http, log).allocated(signal), DRIVER_NAME, nodes);
}

/** Cleans this node and then says so on `/readyz` until it is ended. The driver that was here is waited for: its lock is taken first. */
export async function startCleaning(program: Program, settings: DriverSettings, log: LogWriter): Promise<void> {
  const { signal } = program;
  let problem = "not begun";
  const say = (what: string): void => {
    problem = what;
    log.info("cleaning this node", { now: what });
  };
  program.onStop(
    await servePages(settings.bindAddress, {
      "/healthz": probe(() => []),
      "/readyz": probe(() => (problem === "" ? [] : [problem])),
    }),
  );
  const unlock = await holdLock(
    settings.stateDir,
    "dracpu uninstall",
    (holder) => say(`waiting for ${holder}`),
    signal,
  );
  if (unlock === undefined) return;
  program.onStop(unlock);
  const machine = readMachine(sysfsOf(settings));
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const clean = cleanNode(
    {
      agent: new LastDriver(
        { control: settings.agentSocket, inspect: settings.inspectSocket },
        { online: machine.online, present: machine.present, bootId },
      ),
      files: new NodeFiles({
        cdiDir: settings.cdiDir,
        kubeletRootDir: settings.kubeletRootDir,
        driver: DRIVER_NAME,
        own: [settings.stateDir, join(dirname(settings.stateDir), "agent"), dirname(settings.inspectSocket)],
      }),
      say,
      now: () => performance.now(),
    },
    signal,
  );
  program.supervise(
    clean.then((isClean) => {
      if (isClean) problem = "";
    }),
  );
}

/** Ends the clean-up when all nodes are clean. @returns a sentence naming the nodes that are not in time; "" where all are. */
export function nodesLeft(
  settings: DriverSettings,
  daemonSet: DaemonSetName,
  timeoutMs: number,
  log: LogWriter,
): Promise<string> {
  const http = new ApiHttp(settings.kubeconfig);
  const slices = new ApiServer(http, log);
  return awaitClean(
    {
      progress: (signal) => cleanUpProgress(http, daemonSet, signal),
      end: async (nodes, signal) => {
        for (const node of nodes)
          for (const slice of await slices.list(DRIVER_NAME, node, signal)) await slices.remove(slice, signal);
        await removeCleanUp(http, daemonSet, signal);
      },
    },
    AbortSignal.timeout(timeoutMs),
  );
}
