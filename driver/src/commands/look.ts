import { readFileSync } from "node:fs";
import { AllocationState, type State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { addressOf } from "@dracpu/shared-proto/observe/address.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { machineOf } from "../compose/machine.ts";
import type { DriverSettings } from "../config/settings.ts";
import { CheckpointFile } from "../disk/checkpointfile.ts";
import { readFromArchive } from "../host/archive.ts";
import { AgentInspect } from "../inspect/agentinspect.ts";
import type { Entry as Held } from "../ledger/ledger.ts";
import { paint } from "../picture/paint.ts";
import { PICTURE_LAYOUT, type Picture } from "../picture/picture.ts";
import { entryOf, type Entry } from "../picture/timeline.ts";

const CALL_MS = 3000;
/** The agent sends what it keeps at once; then it is quiet. */
const EVENTS_MS = 300;

/** What can be seen of the node now. */
export interface Looked {
  readonly picture: Picture;
  /** Oldest first. */
  readonly entries: readonly Entry[];
}

/** As the running driver shows it; without one, from what it left on disk and what the agent says. */
export async function look(settings: DriverSettings): Promise<Looked> {
  const asked = await askDriver(settings);
  return "picture" in asked ? asked : await lookAround(settings, asked.why);
}

/** As a file shows it that was saved with `-o json`, or an archive of `dracpu gather`. @throws SettingsFault */
export async function lookAtFile(path: string): Promise<Looked> {
  try {
    const text = isArchive(path) ? await readFromArchive(path, "picture.json") : readFileSync(path, "utf8");
    if (text === undefined) throw new Error("there is no picture.json in it");
    const saved = JSON.parse(text) as Partial<Looked> & Partial<Picture>;
    const picture = saved.picture ?? (saved as Picture);
    if (!isPicture(picture)) throw new Error(`its layout is not ${PICTURE_LAYOUT}`);
    return { picture, entries: saved.entries ?? [] };
  } catch (cause) {
    throw new SettingsFault(`Cannot draw ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** By its first two bytes. */
function isArchive(path: string): boolean {
  const head = readFileSync(path).subarray(0, 2);
  return head[0] === 0x1f && head[1] === 0x8b;
}

function isPicture(value: { readonly layout?: string }): boolean {
  return value.layout === PICTURE_LAYOUT;
}

async function askDriver(settings: DriverSettings): Promise<Looked | { readonly why: string }> {
  const at = addressOf(settings.pageAddress);
  if (at === undefined) return { why: "it has no page address that could be asked" };
  const host = at.host.includes(":") ? `[${at.host}]` : at.host;
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://${host}:${at.port}${path}`, { signal: AbortSignal.timeout(CALL_MS) });
    if (!response.ok) throw new Error(`it answers ${response.status}: ${(await response.text()).trim()}`);
    return response.json();
  };
  try {
    const picture = (await get("/picture")) as Picture;
    if (!isPicture(picture)) return { why: `${settings.pageAddress} is no driver of this release` };
    if (picture.node !== settings.nodeName)
      return { why: `the driver at ${settings.pageAddress} is that of node ${picture.node}` };
    const { entries } = (await get("/entries")) as { entries: Entry[] };
    return { picture, entries };
  } catch (cause) {
    const code = ((cause as Error).cause as NodeJS.ErrnoException | undefined)?.code;
    return {
      why: `it does not answer on ${settings.pageAddress} (${code ?? (cause as Error).message})`,
    };
  }
}

async function lookAround(settings: DriverSettings, why: string): Promise<Looked> {
  const { machine, plan } = machineOf(settings);
  const agent = new AgentInspect(settings.inspectSocket);
  const [{ state, why: agentWhy }, claims] = await Promise.all([agent.look(), claimsOnDisk(settings)]);
  const picture = paint({
    node: settings.nodeName,
    nowMs: Date.now(),
    machine,
    reserved: settings.reservedCPUs,
    keepShared: plan.keepShared,
    driver: { isRunning: false, version: VERSION, why: `The driver cannot be asked: ${why}` },
    claims: claims.map((entry) => settled(entry, state)),
    findings: [],
    agent: state,
    agentWhy,
  });
  return { picture, entries: state === undefined ? [] : await eventsOf(agent) };
}

/** The checkpoint does not say when a Prepare came to its end; the agent, which knows the claim's containers, does. */
function settled(entry: Held, agent: State | undefined): Held {
  const isPrepared = agent?.allocations.some(
    ({ claim, state }) => claim?.uid === entry.claim.uid && state === AllocationState.PREPARED,
  );
  return entry.phase === "preparing" && isPrepared === true ? { ...entry, phase: "prepared" } : entry;
}

/** A checkpoint that cannot be used is told by `doctor`; here there are no claims then but those of the agent. */
async function claimsOnDisk(settings: DriverSettings): Promise<Held[]> {
  try {
    const looked = await new CheckpointFile(settings.stateDir).look();
    return looked.kind === "memory" ? [...looked.memory.entries] : [];
  } catch {
    return [];
  }
}

async function eventsOf(agent: AgentInspect): Promise<Entry[]> {
  const entries: Entry[] = [];
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), EVENTS_MS);
  try {
    for await (const event of agent.events(0n, stop.signal)) if (event !== "quiet") entries.push(entryOf(event));
  } catch {
    // It went while it was asked; what it told is kept.
  } finally {
    clearTimeout(timer);
  }
  return entries;
}
