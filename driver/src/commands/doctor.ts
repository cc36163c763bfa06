import { existsSync } from "node:fs";
import { within } from "@dracpu/shared-proto/lifecycle/within.ts";
import { DOCTOR_LAYOUT, printChecks, statusOfChecks } from "../cli/doctor.ts";
import { ApiHttp } from "../apiserver/http.ts";
import { ApiServer } from "../apiserver/apiserver.ts";
import type { DriverSettings } from "../config/settings.ts";
import { CdiDirectory } from "../disk/cdidirectory.ts";
import { CheckpointFile } from "../disk/checkpointfile.ts";
import { diagnose } from "../doctor/diagnose.ts";
import { isSeen, type Check, type Facts, type Seen } from "../doctor/facts.ts";
import { diskFacts, isWritable, kernelFacts, kubeletFacts, pluginFacts, see } from "../host/node.ts";
import { processFacts } from "../host/processes.ts";
import { allocatableCpus } from "../kubelet/podresources.ts";
import type { Picture } from "../picture/picture.ts";
import { isJson, printJson, settingsOf, textOf, type Argv, type Command } from "./argv.ts";
import { look } from "./look.ts";

const API_MS = 5000;
/** Claims that the API server is asked for, one by one. */
const MAX_ASKED = 100;

export const doctor: Command = async (argv) => {
  const settings = settingsOf(argv);
  const picture = argv["pre"] === true ? undefined : (await look(settings)).picture;
  const checks = await examine(settings, argv, picture);
  if (isJson(argv)) printJson({ layout: DOCTOR_LAYOUT, node: settings.nodeName, checks });
  else console.log(printChecks(checks));
  return statusOfChecks(checks);
};

/** @param picture none before an installation. */
export async function examine(settings: DriverSettings, argv: Argv, picture: Picture | undefined): Promise<Check[]> {
  const text = (flag: string, byDefault: string): string => textOf(argv, flag, byDefault);
  const nriSocket = text("nri-socket", "/var/run/nri/nri.sock");
  const cgroupRoot = text("cgroup-root", "/sys/fs/cgroup");
  return diagnose({
    picture,
    settings: {
      reserved: settings.reservedCPUs.toString(),
      groupedDevices: settings.cpuDeviceMode === "grouped",
      stateDir: settings.stateDir,
      cdiDir: settings.cdiDir,
      nriSocket,
    },
    checkpoint: await checkpointFacts(settings),
    cdi: await cdiFacts(settings.cdiDir),
    disk: diskFacts(settings.stateDir),
    kernel: kernelFacts(cgroupRoot),
    nriSocket: see(() => existsSync(nriSocket)),
    nriPlugins: pluginFacts(text("nri-plugins", "/opt/nri/plugins")),
    kubelet: kubeletFacts(
      settings.kubeletRootDir,
      await tried(() => within(API_MS, [], (signal) => allocatableCpus(settings.kubeletRootDir, signal))),
    ),
    api: await apiFacts(settings, picture),
    processes: processFacts(picture, cgroupRoot, "/proc"),
  });
}

async function checkpointFacts(settings: DriverSettings): Promise<Facts["checkpoint"]> {
  return tried(async () => {
    const looked = await new CheckpointFile(settings.stateDir).look();
    return looked.kind === "memory" ? { kind: "memory" as const, claims: looked.memory.entries } : looked;
  });
}

async function cdiFacts(dir: string): Promise<Facts["cdi"]> {
  return tried(async () => {
    const directory = new CdiDirectory(dir);
    const { unreadable } = await directory.remembered();
    return { uids: await directory.named(), unreadable, isWritable: isWritable(dir) };
  });
}

async function apiFacts(settings: DriverSettings, picture: Picture | undefined): Promise<Facts["api"]> {
  return tried(async () => {
    const signal = AbortSignal.timeout(API_MS);
    const silent = { info: () => {}, warn: () => {}, error: () => {} };
    const http = new ApiHttp(settings.kubeconfig);
    const api = new ApiServer(http, silent);
    const asked = await tried(() => http.json<{ gitVersion?: string }>({ method: "GET", path: "/version", signal }));
    if (!isSeen(asked)) return { unreachable: asked.why };
    const { gitVersion = "" } = asked.value;
    const devices = await tried(async () =>
      (await api.list("dra.cpu", settings.nodeName, signal)).reduce(
        (sum, one) => sum + (one.spec.devices ?? []).length,
        0,
      ),
    );
    const gone = await tried(async () => {
      const asked = (picture?.claims ?? []).filter((one) => one.name !== "" && one.phase !== "draining");
      const found: string[] = [];
      for (const { namespace, name, uid } of asked.slice(0, MAX_ASKED)) {
        const claim = await api.get(namespace, name, signal);
        if (claim?.metadata.uid !== uid) found.push(`${namespace}/${name}`);
      }
      return found;
    });
    return { version: gitVersion, devices, gone };
  });
}

async function tried<T>(look: () => Promise<T>): Promise<Seen<T>> {
  try {
    return { value: await look() };
  } catch (cause) {
    return { why: (cause as Error).message };
  }
}
