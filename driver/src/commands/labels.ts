import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import type { Labels } from "@dracpu/shared-proto/settings/settings.ts";
import { privateDirectory } from "@dracpu/shared-proto/socket/listen.ts";
import { ApiServer } from "../apiserver/apiserver.ts";
import { ApiHttp } from "../apiserver/http.ts";
import { nodeLabels } from "../apiserver/nodelabels.ts";
import type { DriverSettings } from "../config/settings.ts";
import { LabelsFile } from "../disk/labelsfile.ts";

const ENDS = ["SIGTERM", "SIGINT"] as const;

/** Nothing has begun that a signal would have to end, and the first process of a container has no end by default. */
export async function labelsHere(settings: DriverSettings, keys: readonly string[], log: LogWriter): Promise<Labels> {
  const end = (): never => process.exit(0);
  for (const signal of ENDS) process.once(signal, end);
  try {
    privateDirectory(settings.stateDir);
    const api = new ApiServer(new ApiHttp(settings.kubeconfig), log);
    return await nodeLabels(api, new LabelsFile(settings.stateDir), settings.nodeName, keys, log);
  } finally {
    for (const signal of ENDS) process.off(signal, end);
  }
}
