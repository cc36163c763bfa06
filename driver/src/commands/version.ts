import { PROTOCOL_MAX, PROTOCOL_MIN } from "@dracpu/shared-proto/contract/names.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { AgentInspect } from "../inspect/agentinspect.ts";
import { isJson, printJson, settingsOf, type Command } from "./argv.ts";

interface Release {
  readonly version: string;
  readonly node: string;
  readonly protocolMin: number;
  readonly protocolMax: number;
}

/** An agent that does not answer is said, and no error: this program's own version is there anyway. */
export const version: Command = async (argv) => {
  const own = { version: VERSION, node: process.version, protocolMin: PROTOCOL_MIN, protocolMax: PROTOCOL_MAX };
  const asked = await agentOf(argv);
  if (asked.found === undefined) {
    if (isJson(argv)) printJson({ dracpu: own, agent: null, why: asked.why, protocol: null });
    else console.log(`${line("dracpu", own)}\nNRI agent: it does not answer: ${asked.why}`);
    return 0;
  }
  const { nodeVersion: node, protocolMin, protocolMax, version: release } = asked.found;
  const agent = { version: release, node, protocolMin, protocolMax };
  // As the agent chooses it at Hello.
  const highest = Math.min(own.protocolMax, agent.protocolMax);
  const protocol = highest >= Math.max(own.protocolMin, agent.protocolMin) ? highest : null;
  if (isJson(argv)) printJson({ dracpu: own, agent, why: "", protocol });
  else {
    const both = protocol === null ? "They speak no protocol in common." : `Both speak protocol ${protocol}.`;
    console.log([line("dracpu", own), line("NRI agent", agent), both].join("\n"));
  }
  return 0;
};

/** Whoever asks a pod that does not start for its version has a configuration that cannot be, maybe. */
async function agentOf(argv: Parameters<Command>[0]): ReturnType<AgentInspect["version"]> {
  try {
    return await new AgentInspect(settingsOf(argv).inspectSocket).version();
  } catch (cause) {
    if (cause instanceof SettingsFault) return { found: undefined, why: cause.message };
    throw cause;
  }
}

function line(name: string, { version: release, node, protocolMin, protocolMax }: Release): string {
  const protocols =
    protocolMin === protocolMax ? `protocol ${protocolMin}` : `protocols ${protocolMin} to ${protocolMax}`;
  return `${name} ${release} (node ${node}, ${protocols})`;
}
