#!/usr/bin/env node
import { KubeConfig } from "@kubernetes/client-node";
import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import yargs, { type Options } from "yargs";
import { hideBin } from "yargs/helpers";
import { withProgress } from "../cli/progress.ts";
import { ApiFault } from "../apiserver/fault.ts";
import type { Argv } from "../commands/argv.ts";
import { ClusterApi } from "./api.ts";
import { claims, doctor, map, nodes, page, topology, watch, who, why, type PluginCommand } from "./commands.ts";
import { gather } from "./gather.ts";
import type { Reach } from "./target.ts";

const common: Record<string, Options> = {
  kubeconfig: { type: "string", describe: "as kubectl's; else $KUBECONFIG, ~/.kube/config, or the pod's own" },
  context: { type: "string", describe: "as kubectl's" },
  namespace: { alias: "n", type: "string", describe: "of pods that are named without one" },
  selector: {
    type: "string",
    default: "app.kubernetes.io/name=dra-driver-cpu,app.kubernetes.io/component=node",
    describe: "labels of the driver's pods",
  },
  "page-port": { type: "number", default: 8082, describe: "port of the driver's page in its pod" },
  output: { alias: "o", choices: ["text", "json"], default: "text", describe: "for people or for machines" },
};
const fold: Options = { type: "boolean", default: true, describe: "fold idle cores that are alike" };

function reachOf(argv: Argv): Reach {
  const config = new KubeConfig();
  if (typeof argv["kubeconfig"] === "string") config.loadFromFile(argv["kubeconfig"]);
  else config.loadFromDefault();
  if (typeof argv["context"] === "string") config.setCurrentContext(argv["context"]);
  const own = config.getContextObject(config.getCurrentContext())?.namespace;
  return {
    config,
    api: new ClusterApi(config),
    selector: String(argv["selector"]),
    pagePort: Number(argv["page-port"]),
    namespace: typeof argv["namespace"] === "string" ? argv["namespace"] : (own ?? "default"),
  };
}

async function main(): Promise<number> {
  let status = 0;
  const doing = (command: PluginCommand) => async (argv: Argv) => {
    status = await command(reachOf(argv), argv);
  };
  /** What prints at its end. */
  const asking = (command: PluginCommand) =>
    doing((reach, argv) => withProgress("asking the cluster", () => command(reach, argv)));
  const target = { type: "string", demandOption: true, describe: "a node, or a pod or claim there" } as const;
  const again: Options = {
    alias: "w",
    type: "boolean",
    default: false,
    describe: "print it again whenever it changes",
  };
  await yargs(hideBin(process.argv))
    .scriptName("kubectl dracpu")
    .usage("$0 <command>: which CPUs pods have, all over the cluster")
    .options(common)
    .command(
      "nodes",
      "capacity, taken and free of every node, from the API alone",
      (y) =>
        y.options({
          "by-device": { type: "boolean", default: false, describe: "a line for each device" },
          watch: again,
        }),
      doing(nodes),
    )
    .command(
      "who",
      "which claims hold CPUs, from the API alone",
      (y) =>
        y.options({
          node: { type: "string", describe: "of this node alone" },
          watch: again,
        }),
      doing(who),
    )
    .command(
      ["map <target>", "state <target>"],
      "draw a node, with the owner of each thread, and what is wrong",
      (y) => y.positional("target", target).option("fold", fold),
      asking(map),
    )
    .command(
      "watch <target>",
      "draw a node anew whenever something changes; a line for each change where there is no terminal",
      (y) => y.positional("target", target).option("fold", fold),
      doing(watch),
    )
    .command(
      "topology <target>",
      "show a node's sockets, NUMA nodes, caches and cores",
      (y) => y.positional("target", target),
      asking(topology),
    )
    .command(
      "claims <target>",
      "list the claims of a node with their CPUs",
      (y) => y.positional("target", target),
      asking(claims),
    )
    .command(
      "explain <pod>",
      "say why a pod's containers have their CPUs, who else is there, and what happened to them",
      (y) =>
        y.positional("pod", {
          type: "string",
          demandOption: true,
          describe: "POD, NAMESPACE/POD, and /CONTAINER, or a pod's claim",
        }),
      asking(why),
    )
    .command(
      "doctor <target>",
      "what is wrong on a node, and what to do",
      (y) => y.positional("target", target),
      asking(doctor),
    )
    .command(
      "gather <target>",
      "write one archive of a node for a bug report: picture, findings, logs of driver and agent, slices, claims",
      (y) =>
        y
          .positional("target", target)
          .option("file", { type: "string", describe: "where to [default: dracpu-NODE-TIME.tgz]" }),
      asking(gather),
    )
    .command(
      "page <target>",
      "open the way to a node's page",
      (y) => y.positional("target", target).option("port", { type: "number", describe: "of this machine" }),
      doing(page),
    )
    .command("version", "print the version", {}, () =>
      console.log(`kubectl-dracpu ${VERSION} (node ${process.version})`),
    )
    .completion("completion", "print a script that completes this command line in your shell")
    .version(false)
    .alias("help", "h")
    .wrap(process.stdout.columns ?? null)
    .demandCommand(1, "Name a command.")
    .strict()
    .exitProcess(false)
    .epilogue(
      "Exit status: 0 all is well, 1 an error of its own, 2 wrong usage, 3 something is wrong on the node, 4 warnings only.",
    )
    .fail((message, cause) => {
      throw cause ?? new SettingsFault(message);
    })
    .parseAsync();
  return status;
}

main().then(
  (status) => process.exit(status),
  (cause: unknown) => {
    const known = cause instanceof SettingsFault || cause instanceof ApiFault || process.env["DEBUG"] === undefined;
    const error = cause as Error;
    console.error(`kubectl dracpu: ${known ? error.message : (error.stack ?? error.message)}`);
    process.exit(cause instanceof SettingsFault ? 2 : 1);
  },
);
