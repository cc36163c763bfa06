import { DRIVER_NAME } from "@dracpu/shared-proto/contract/names.ts";
import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { CLAIMS_LAYOUT, printClaims } from "../cli/claims.ts";
import { NODES_LAYOUT, printNodes, printWho, WHO_LAYOUT } from "../cli/cluster.ts";
import { DOCTOR_LAYOUT } from "../cli/doctor.ts";
import { EXPLAIN_LAYOUT, printExplanations } from "../cli/explain.ts";
import { findingLines, statusOf } from "../cli/findings.ts";
import { printMap } from "../cli/map.ts";
import { withProgress } from "../cli/progress.ts";
import { holderViews, nodeViews } from "../cluster/cluster.ts";
import { isJson, jsonText, printJson, type Argv } from "../commands/argv.ts";
import { CLEAR, follow } from "../commands/follow.ts";
import { mapOptions } from "../commands/show.ts";
import type { Check } from "../doctor/facts.ts";
import { explain } from "../picture/explain.ts";
import type { BoxView, FindingView } from "../picture/picture.ts";
import { askNode, driverOn, nodeOf, wayTo, type Reach } from "./target.ts";
import { forward } from "./forward.ts";

/** Each look costs the API server something. */
const AGAIN_MS = 2000;

/** @returns the exit status: 0 fine, 3 something is wrong, 4 warnings only. */
export type PluginCommand = (reach: Reach, argv: Argv) => Promise<number>;

export const nodes: PluginCommand = (reach, argv) =>
  again(argv, async () => {
    const [slices, claims] = await Promise.all([reach.api.slices(), reach.api.claims()]);
    const found = nodeViews(slices, claims, DRIVER_NAME);
    if (isJson(argv)) return jsonText({ layout: NODES_LAYOUT, nodes: found });
    return printNodes(found, argv["by-device"] === true);
  });

export const who: PluginCommand = (reach, argv) =>
  again(argv, async () => {
    const only = argv["node"];
    const holders = holderViews(await reach.api.claims(), DRIVER_NAME).filter(
      (one) => typeof only !== "string" || one.node === only,
    );
    return isJson(argv) ? jsonText({ layout: WHO_LAYOUT, claims: holders }) : printWho(holders);
  });

/** Prints once; with `--watch` again whenever it is another, until Ctrl-C. */
async function again(argv: Argv, text: () => Promise<string>): Promise<number> {
  const stop = new AbortController();
  if (argv["watch"] === true) process.once("SIGINT", () => stop.abort());
  else stop.abort();
  let said = "";
  let fault = "";
  do {
    try {
      const now = await withProgress("asking the cluster", text);
      if (now !== said) console.log(process.stdout.isTTY && !stop.signal.aborted ? `${CLEAR}${now}` : now);
      [said, fault] = [now, ""];
    } catch (cause) {
      const why = (cause as Error).message;
      // An API server that goes away later is waited for.
      if (said === "") throw cause;
      if (why !== fault) console.error(`${why}; asking again`);
      fault = why;
    }
    await pause(AGAIN_MS, stop.signal);
  } while (!stop.signal.aborted);
  return 0;
}

export const map: PluginCommand = async (reach, argv) => {
  const { node } = await nodeOf(reach, String(argv["target"]));
  const looked = await askNode(reach, node);
  if (isJson(argv)) printJson(looked);
  else console.log(printMap(looked.picture, { ...mapOptions(argv), nowMs: looked.picture.asOfMs }));
  return statusOf(looked.picture.findings);
};

/** As `dracpu watch` on the node. */
export const watch: PluginCommand = async (reach, argv) => {
  const { node } = await nodeOf(reach, String(argv["target"]));
  const way = await wayTo(reach, node);
  try {
    return await follow(() => way.ask(), argv, AGAIN_MS);
  } finally {
    way.close();
  }
};

/** The machine as the node's driver reads it, without owners. */
export const topology: PluginCommand = async (reach, argv) => {
  const { node } = await nodeOf(reach, String(argv["target"]));
  const { machine } = (await askNode(reach, node)).picture;
  console.log(isJson(argv) ? jsonText(machine) : [machine.about, ...boxLines(machine.boxes)].join("\n"));
  return 0;
};

function boxLines(boxes: readonly BoxView[], indent = "  "): string[] {
  return boxes.flatMap((one) => [
    `${indent}${one.names.join(" = ")}: CPUs ${one.cpus}`,
    ...boxLines(one.boxes, `${indent}  `),
  ]);
}

export const claims: PluginCommand = async (reach, argv) => {
  const { node } = await nodeOf(reach, String(argv["target"]));
  const { picture } = await askNode(reach, node);
  if (isJson(argv)) printJson({ layout: CLAIMS_LAYOUT, node, claims: picture.claims });
  else console.log(printClaims(picture));
  return 0;
};

export const why: PluginCommand = async (reach, argv) => {
  const { node, pod } = await nodeOf(reach, String(argv["pod"]));
  if (pod === "")
    throw new SettingsFault(
      `There is no pod ${String(argv["pod"])} in namespace ${reach.namespace}, and no pod's claim`,
    );
  const { picture, entries } = await askNode(reach, node);
  const found = explain(picture, entries, pod);
  if (isJson(argv)) printJson({ layout: EXPLAIN_LAYOUT, node, containers: found });
  else if (found.length === 0) console.log(`the agent on ${node} knows no container of ${pod}`);
  else console.log(`on ${node}\n${printExplanations(found, picture.asOfMs)}`);
  return found.some((one) => one.isWrong) ? 3 : 0;
};

/** Findings in the form of `dracpu doctor -o json`. */
export function checksOf(findings: readonly FindingView[]): Check[] {
  return findings.map(({ severity, code, text, action }) => ({
    what: "state",
    verdict: severity,
    code,
    text,
    action,
  }));
}

export const doctor: PluginCommand = async (reach, argv) => {
  const { node } = await nodeOf(reach, String(argv["target"]));
  const { findings } = (await askNode(reach, node)).picture;
  if (isJson(argv)) printJson({ layout: DOCTOR_LAYOUT, node, checks: checksOf(findings) });
  else
    console.log(findings.length === 0 ? `${node}: driver, agent and kernel agree` : findingLines(findings).join("\n"));
  return statusOf(findings);
};

/** Holds the way open until it is interrupted; a pod that goes is replaced by its successor. */
export const page: PluginCommand = async (reach, argv) => {
  const { node } = await nodeOf(reach, String(argv["target"]));
  await driverOn(reach, node);
  let said = "";
  const way = await forward(
    reach.config,
    () => driverOn(reach, node),
    reach.pagePort,
    Number(argv["port"] ?? 0),
    (fault) => {
      if (fault !== said) console.error(fault);
      said = fault;
    },
  );
  console.log(`the page of ${node}: http://127.0.0.1:${way.port}/   (Ctrl-C ends it)`);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  while (!stop.signal.aborted) await pause(60_000, stop.signal);
  way.close();
  return 0;
};
