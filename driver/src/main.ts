#!/usr/bin/env node
import { LOG_LEVELS, restartContainer, setLogLevel } from "@dracpu/shared-proto/lifecycle/firstprocess.ts";
import { lastWords } from "@dracpu/shared-proto/lifecycle/lastwords.ts";
import { plainRun } from "@dracpu/shared-proto/settings/plainrun.ts";
import { flagsOf, SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import type { Options } from "yargs";
import { withProgress } from "./cli/progress.ts";
import { TOPOLOGY_OUTPUTS } from "./cli/topology.ts";
import type { Argv, Command } from "./commands/argv.ts";
import { fromReference } from "./commands/reference.ts";
import { DRIVER_SETTINGS } from "./config/settings.ts";

/** Faults that their message tells all of. By name: `run` loads none of them that it does not need. */
const KNOWN = ["SettingsFault", "ConnectError", "SyntaxError", "OverlayFault", "TopologyFault"];
const flags = flagsOf(DRIVER_SETTINGS);
const output = (kind: "table" | "map" | "text"): Record<string, Options> => ({
  ...flags,
  output: { alias: "o", choices: [kind, "json"], default: kind, describe: "for people or for machines" },
});
/** Each loads what it needs alone: `run` has to answer soon, and the rest has people waiting. */
const run: Command = async (argv) => (await import("./commands/run.ts")).run(argv);
const doctor: Command = (argv) =>
  withProgress("comparing state, files, kernel, kubelet, runtime and API server", async () =>
    (await import("./commands/doctor.ts")).doctor(argv),
  );
const state: Command = async (argv) => (await import("./commands/agent.ts")).state(argv);
const call: Command = async (argv) => (await import("./commands/agent.ts")).call(argv);
const version: Command = async (argv) => (await import("./commands/version.ts")).version(argv);
const map: Command = async (argv) => (await import("./commands/show.ts")).map(argv);
const claims: Command = async (argv) => (await import("./commands/show.ts")).claims(argv);
const why: Command = async (argv) => (await import("./commands/show.ts")).why(argv);
const watch: Command = async (argv) => (await import("./commands/watch.ts")).watch(argv);
const page: Command = async (argv) => (await import("./commands/page.ts")).page(argv);
const topology: Command = async (argv) => (await import("./commands/topology.ts")).topology(argv);
const uninstall: Command = async (argv) => (await import("./commands/uninstall.ts")).uninstall(argv);
const gather: Command = (argv) =>
  withProgress("gathering", async () => (await import("./commands/gather.ts")).gather(argv));
const nodeLabels: Command = async (argv) => (await import("./commands/labels.ts")).keepLabels(argv);
const from: Options = { type: "string", describe: "draw what was saved with `map -o json` or by `gather`" };
const fold: Options = { type: "boolean", default: true, describe: "fold idle cores that are alike" };

async function main(): Promise<number> {
  const words = fromReference(process.argv.slice(2));
  const plain = plainRun(words);
  if (plain !== undefined) return run(plain);
  const { default: yargs } = await import("yargs");
  const { CALL_OUTPUT, methodNames } = await import("@dracpu/shared-proto/client/call.ts");
  let status = 0;
  const doing = (command: Command) => async (argv: Argv) => {
    status = await command(argv);
  };
  await yargs(words)
    .scriptName("dracpu")
    .usage("$0 <command>: gives pods exclusive CPUs through Dynamic Resource Allocation")
    .command("run", "run the driver", (y) => y.options(flags), doing(run))
    .command(
      "state",
      "show which CPUs claims and containers have on this node, as the agent says",
      (y) => y.options(output("table")),
      doing(state),
    )
    .command(
      "map",
      "draw the machine, with the owner of each thread, and what is wrong",
      (y) => y.options({ ...output("map"), from, fold }),
      doing(map),
    )
    .command("claims", "list the claims that hold CPUs", (y) => y.options({ ...output("table"), from }), doing(claims))
    .command(
      "explain <pod>",
      "say why a pod's containers have their CPUs, who else is there, and what happened to them",
      (y) =>
        y
          .positional("pod", { type: "string", demandOption: true, describe: "POD, NAMESPACE/POD, and /CONTAINER" })
          .options({ ...output("text"), from }),
      doing(why),
    )
    .command(
      "watch",
      "draw the machine anew whenever something changes; a line for each change where there is no terminal",
      (y) => y.options({ ...output("map"), fold }),
      doing(watch),
    )
    .command(
      "doctor",
      "compare everything that should agree: state, files, kernel, kubelet, runtime, API server; say what to do",
      (y) =>
        y.options({
          ...output("text"),
          pre: {
            type: "boolean",
            default: false,
            describe: "before an installation: look at the node and cluster alone",
          },
          "nri-socket": { type: "string", describe: "NRI socket of the runtime [default: /var/run/nri/nri.sock]" },
          "nri-plugins": { type: "string", describe: "plugins that the runtime starts [default: /opt/nri/plugins]" },
          "cgroup-root": { type: "string", describe: "the host's cgroup file system [default: /sys/fs/cgroup]" },
        }),
      doing(doctor),
    )
    .command(
      "gather",
      "write one archive for a bug report: state, findings, topology, files of this driver; nothing secret",
      (y) => y.options({ ...flags, file: { type: "string", describe: "where to [default: dracpu-NODE-TIME.tgz]" } }),
      doing(gather),
    )
    .command(
      "page",
      "serve the page of this node, or of what was saved, where no driver serves it",
      (y) =>
        y.options({
          ...flags,
          from,
          listen: { type: "string", describe: "where, on the loopback interface [default: 127.0.0.1:8083]" },
        }),
      doing(page),
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
          .options({ ...flags, output: CALL_OUTPUT }),
      doing(call),
    )
    .command(
      "log-level <level>",
      "change what the running program in this container logs: everything, or what its settings say",
      (y) => y.positional("level", { choices: LOG_LEVELS, demandOption: true, describe: "debug, or configured" }),
      doing((argv) => {
        setLogLevel("dracpu", argv["level"] === "debug" ? "debug" : "configured");
        return Promise.resolve(0);
      }),
    )
    .command(
      "restart",
      "restart the driver in this container, and nothing else of the pod",
      {},
      doing(() => {
        restartContainer("dracpu");
        return Promise.resolve(0);
      }),
    )
    .command(
      "uninstall <step>",
      "steps of taking the driver off: which claims are in use; clean this node, and say so until ended; wait for all nodes",
      (y) =>
        y.positional("step", { choices: ["check", "clean", "wait"], describe: "what to do" }).options({
          ...flags,
          force: { type: "boolean", describe: "check: succeed though claims are in use" },
          daemonset: {
            type: "string",
            describe:
              "namespace/name; check: of the driver's DaemonSet, so that claims of nodes without a pod of it do not count; wait: of the clean-up's",
          },
          release: { type: "string", describe: "check: namespace/name of helm's release, to say what to do with it" },
          timeout: { type: "number", default: 120, describe: "wait: for so many seconds" },
        }),
      doing(uninstall),
    )
    .command(
      "node-labels",
      "keep labels of this node where the agent reads them, which may not ask the API server",
      (y) =>
        y.options({
          ...flags,
          label: { type: "string", describe: "key of a label; may be given again" },
          to: { type: "string", describe: "the agent's state directory" },
        }),
      doing(nodeLabels),
    )
    .command(
      "version",
      "print the versions of this program and of the NRI agent on this node, and the protocol between them",
      (y) => y.options(output("text")),
      doing(version),
    )
    .completion("completion", "print a script that completes this command line in your shell")
    .version(false)
    .alias("help", "h")
    // Names of flags are never broken where there is no terminal.
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
    console.error(`dracpu: ${lastWords(cause, KNOWN)}`);
    process.exit(cause instanceof SettingsFault ? 2 : 1);
  },
);
