#!/usr/bin/env node
import { ConnectError } from "@connectrpc/connect";
import { callMethod, findMethod, methodNames } from "@dracpu/shared-proto/client/call.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { restartContainer } from "@dracpu/shared-proto/lifecycle/restart.ts";
import { runProgram } from "@dracpu/shared-proto/lifecycle/program.ts";
import { createLog, type LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import {
  flagsOf,
  labelsSpokenOf,
  resolveSettings,
  SettingsFault,
  type Labels,
} from "@dracpu/shared-proto/settings/settings.ts";
import { privateDirectory } from "@dracpu/shared-proto/socket/listen.ts";
import { plainRun } from "@dracpu/shared-proto/settings/plainrun.ts";
import { printState } from "./cli/state.ts";
import { printTopology, TOPOLOGY_OUTPUTS, type TopologyOutput } from "./cli/topology.ts";
import { ApiServer } from "./apiserver/apiserver.ts";
import { ApiHttp } from "./apiserver/http.ts";
import { nodeLabels } from "./apiserver/nodelabels.ts";
import { claimsInUse, nodesLeft, startCleaning } from "./compose/uninstall.ts";
import { startDriver } from "./compose.ts";
import { LabelsFile } from "./disk/labelsfile.ts";
import { DRIVER_SETTINGS, driverSettings, type DriverSettings } from "./config/settings.ts";
import { OverlayFault } from "./sysfs/overlay.ts";
import { TopologyFault } from "./topology/read.ts";
import { sysfsOf } from "./sysfs/source.ts";

type Argv = Readonly<Record<string, unknown>>;

async function run(argv: Argv): Promise<number> {
  // What holds on every node, and a check of the rest: enough to log, and to find the node's labels.
  const everywhere = driverSettings(resolveSettings(DRIVER_SETTINGS, argv, process.env));
  const log = createLog({ level: everywhere.logLevel, program: "dracpu" });
  const spokenOf = labelsSpokenOf(DRIVER_SETTINGS, argv);
  const labels = spokenOf.length === 0 ? {} : await labelsHere(everywhere, spokenOf, log);
  const values = resolveSettings(DRIVER_SETTINGS, argv, process.env, labels);
  const settings = driverSettings(values);
  log.level = settings.logLevel;
  log.info("dracpu starts", { version: VERSION, node: process.version, pid: process.pid });
  log.info("configuration in force", {
    configuration: { ...values, nodeName: settings.nodeName, keepShared: settings.keepShared },
  });
  const status = await runProgram((program) => startDriver(program, settings, log), log);
  await log.flush(500);
  return status;
}

function labelsHere(settings: DriverSettings, keys: readonly string[], log: LogWriter): Promise<Labels> {
  privateDirectory(settings.stateDir);
  const api = new ApiServer(new ApiHttp(settings.kubeconfig), log);
  return nodeLabels(api, new LabelsFile(settings.stateDir), settings.nodeName, keys, log);
}

async function state(argv: Argv): Promise<number> {
  const settings = driverSettings(resolveSettings(DRIVER_SETTINGS, argv, process.env));
  console.log(await printState(settings.inspectSocket, argv["output"] === "json" ? "json" : "table"));
  return 0;
}

async function uninstall(argv: Argv): Promise<number> {
  const settings = driverSettings(resolveSettings(DRIVER_SETTINGS, argv, process.env));
  const log = createLog({ level: settings.logLevel, program: "dracpu" });
  if (argv["step"] === "clean") {
    const status = await runProgram((program) => startCleaning(program, settings, log), log);
    await log.flush(500);
    return status;
  }
  if (argv["step"] === "wait") {
    const [namespace = "", name = ""] = String(argv["daemonset"]).split("/");
    const left = await nodesLeft(settings, { namespace, name }, Number(argv["timeout"]) * 1000);
    console.log(left === "" ? "every node is clean" : left);
    return left === "" ? 0 : 1;
  }
  const found = await claimsInUse(settings, log);
  for (const line of found) console.log(line);
  if (found.length === 0) console.log("no claim has CPUs of this driver");
  else if (argv["force"] !== true) {
    console.log("Delete the pods that use them first; or force it, and nobody keeps others off their CPUs any more.");
    return 1;
  }
  return 0;
}

function topology(argv: Argv): Promise<number> {
  const settings = driverSettings(resolveSettings(DRIVER_SETTINGS, argv, process.env));
  // An overlay alone is a whole machine: nothing of this one shines through, unlike under `run`.
  const alone = settings.sysfsOverlay !== "" && argv["sysfs-root"] === undefined;
  const source = settings.sysfsOverlay === "" ? settings.sysfsRoot : settings.sysfsOverlay;
  const tree = sysfsOf(settings, alone);
  console.log(printTopology(tree, argv["output"] as TopologyOutput, source));
  return Promise.resolve(0);
}

async function call(argv: Argv): Promise<number> {
  const settings = driverSettings(resolveSettings(DRIVER_SETTINGS, argv, process.env));
  const name = String(argv["method"]);
  const found = findMethod(name);
  if (found === undefined) throw new SettingsFault(`There is no method ${name}; there are ${methodNames().join(", ")}`);
  const sockets = { Inspect: settings.inspectSocket, Control: settings.agentSocket };
  for await (const answer of callMethod(sockets, found, typeof argv["json"] === "string" ? argv["json"] : ""))
    console.log(JSON.stringify(answer, undefined, 2));
  return 0;
}

async function main(): Promise<number> {
  const plain = plainRun(process.argv.slice(2));
  if (plain !== undefined) return run(plain);
  const { default: yargs } = await import("yargs");
  let status = 0;
  const doing = (work: (argv: Argv) => Promise<number>) => async (argv: Argv) => {
    status = await work(argv);
  };
  const flags = flagsOf(DRIVER_SETTINGS);
  await yargs(process.argv.slice(2))
    .scriptName("dracpu")
    .usage("$0 <command>: gives pods exclusive CPUs through Dynamic Resource Allocation")
    .command("run", "run the driver", (y) => y.options(flags), doing(run))
    .command(
      "state",
      "show which CPUs claims and containers have on this node",
      (y) =>
        y.options({
          ...flags,
          output: { alias: "o", choices: ["table", "json"], default: "table", describe: "for people or for machines" },
        }),
      doing(state),
    )
    .command(
      "topology",
      "show this machine's CPUs, or those of a copied sysfs or an overlay, as the driver reads them",
      (y) =>
        y.options({
          ...flags,
          output: {
            alias: "o",
            choices: TOPOLOGY_OUTPUTS,
            default: "tree",
            describe: "a tree for people, JSON for machines, or a text overlay for bug reports and tests",
          },
        }),
      doing(topology),
    )
    .command(
      "call <method> [json]",
      "call a method of the NRI agent on this node",
      (y) =>
        y
          .positional("method", { type: "string", describe: methodNames().join(", ") })
          .positional("json", { type: "string" })
          .options(flags),
      doing(call),
    )
    .command(
      "restart",
      "restart the driver in this container, and nothing else of the pod",
      {},
      doing(async () => {
        restartContainer("dracpu");
        return 0;
      }),
    )
    .command(
      "uninstall <step>",
      "steps of taking the driver off: which claims are in use; clean this node, and say so until ended; wait for all nodes",
      (y) =>
        y.positional("step", { choices: ["check", "clean", "wait"], describe: "what to do" }).options({
          ...flags,
          force: { type: "boolean", describe: "check: succeed though claims are in use" },
          daemonset: { type: "string", describe: "wait: namespace/name of the clean-up's DaemonSet" },
          timeout: { type: "number", default: 120, describe: "wait: for so many seconds" },
        }),
      doing(uninstall),
    )
    .command("version", "print the version", {}, () => console.log(`dracpu ${VERSION} (node ${process.version})`))
    .version(false)
    .demandCommand(1, "Name a command.")
    .strict()
    .exitProcess(false)
    .fail((message, cause) => {
      throw cause ?? new SettingsFault(message);
    })
    .parseAsync();
  return status;
}

main().then(
  (status) => process.exit(status),
  (cause: unknown) => {
    const known = [SettingsFault, ConnectError, SyntaxError, OverlayFault, TopologyFault].some(
      (kind) => cause instanceof kind,
    );
    console.error(
      `dracpu: ${known || !(cause instanceof Error) ? (cause as Error).message : (cause.stack ?? cause.message)}`,
    );
    process.exit(cause instanceof SettingsFault ? 2 : 1);
  },
);
