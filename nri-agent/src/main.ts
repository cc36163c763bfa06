#!/usr/bin/env node
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import {
  LOG_LEVELS,
  restartContainer,
  setLogLevel,
  obeyLogLevel,
} from "@dracpu/shared-proto/lifecycle/firstprocess.ts";
import { lastWords } from "@dracpu/shared-proto/lifecycle/lastwords.ts";
import { runProgram } from "@dracpu/shared-proto/lifecycle/program.ts";
import { createLog } from "@dracpu/shared-proto/observe/log.ts";
import { commandFirst } from "@dracpu/shared-proto/settings/commandfirst.ts";
import { LabelsFile } from "@dracpu/shared-proto/disk/labelsfile.ts";
import {
  configIn,
  flagsOf,
  labelsSpokenOf,
  resolveSettings,
  SettingsFault,
} from "@dracpu/shared-proto/settings/settings.ts";
import { plainRun } from "@dracpu/shared-proto/settings/plainrun.ts";
import { alone } from "@dracpu/shared-proto/socket/alone.ts";
import { AGENT_SETTINGS, agentSettings } from "./config/settings.ts";

/** Faults that their message tells all of. By name: `run` loads none of them that it does not need. */
const KNOWN = ["SettingsFault", "ConnectError", "SyntaxError"];

async function run(argv: Readonly<Record<string, unknown>>): Promise<number> {
  const file = configIn(AGENT_SETTINGS, argv, process.env);
  const everywhere = agentSettings(resolveSettings(AGENT_SETTINGS, argv, process.env, {}, file));
  const kept = new LabelsFile(everywhere.stateDir);
  const spokenOf = labelsSpokenOf(AGENT_SETTINGS, argv, process.env, file);
  const labels = spokenOf.length === 0 ? {} : kept.lastSeen();
  const unknown = spokenOf.filter((key) => !Object.hasOwn(labels ?? {}, key));
  const values = resolveSettings(AGENT_SETTINGS, argv, process.env, labels, file);
  const settings = agentSettings(values);
  const log = createLog({ level: settings.logLevel, program: "dracpu-agent" });
  log.info("dracpu-agent starts", { version: VERSION, node: process.version, pid: process.pid });
  log.info("configuration in force", { configuration: values });
  if (unknown.length > 0)
    log.warn(
      "labels of this node are not known here, so settings that go by them do not hold; `dracpu node-labels` has to run before the agent",
      { labels: unknown, file: kept.path },
    );
  obeyLogLevel(log, settings.logLevel);
  const status = await runProgram(async (program) => {
    const parts = await alone(program, ["agent", "dracpu-agent"], settings.stateDir, log, () => import("./compose.ts"));
    await parts?.startAgent(program, settings, log);
  }, log);
  await log.flush(500);
  return status;
}

async function call(argv: Readonly<Record<string, unknown>>): Promise<number> {
  const { printCall } = await import("@dracpu/shared-proto/client/call.ts");
  const { inspectSocket, controlSocket } = agentSettings(resolveSettings(AGENT_SETTINGS, argv, process.env));
  await printCall({ Inspect: inspectSocket, Control: controlSocket }, argv, SettingsFault);
  return 0;
}

async function main(): Promise<number> {
  const words = commandFirst(process.argv.slice(2), AGENT_SETTINGS);
  const plain = plainRun(words);
  if (plain !== undefined) return run(plain);
  const { default: yargs } = await import("yargs");
  const { CALL_OUTPUT, methodNames } = await import("@dracpu/shared-proto/client/call.ts");
  let status = 0;
  const doing =
    (work: (argv: Readonly<Record<string, unknown>>) => Promise<number>) =>
    async (argv: Readonly<Record<string, unknown>>) => {
      status = await work(argv);
    };
  const flags = flagsOf(AGENT_SETTINGS);
  await yargs(words)
    .scriptName("dracpu-agent")
    .usage("$0 <command>: pins containers to their CPUs through the container runtime's NRI socket")
    .command("run", "run the agent", (y) => y.options(flags), doing(run))
    .command(
      "call <method> [json]",
      "call a method of the agent that runs on this node",
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
        setLogLevel("dracpu-agent", argv["level"] === "debug" ? "debug" : "configured");
        return Promise.resolve(0);
      }),
    )
    .command(
      "restart",
      "restart the agent in this container, and nothing else of the pod",
      {},
      doing(async () => {
        restartContainer("dracpu-agent");
        return 0;
      }),
    )
    .command("version", "print the version", {}, () => console.log(`dracpu-agent ${VERSION} (node ${process.version})`))
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
    console.error(`dracpu-agent: ${lastWords(cause, KNOWN)}`);
    process.exit(cause instanceof SettingsFault ? 2 : 1);
  },
);
