import { CLAIM_CODES } from "./claims.ts";
import type { Code, Finding } from "./code.ts";
import { CONTAINER_CODES } from "./containers.ts";
import { NODE_CODES } from "./node.ts";
import { PROGRAM_CODES } from "./programs.ts";

/** Every code there is, by the name that the programs use. Closed. */
export const CODES = { ...PROGRAM_CODES, ...CLAIM_CODES, ...CONTAINER_CODES, ...NODE_CODES } as const;

export type CodeName = keyof typeof CODES;

export const ALL_CODES: readonly Code[] = Object.values(CODES);

export function codeOf(id: string): Code | undefined {
  return ALL_CODES.find((code) => code.id === id);
}

/** Whether this node can never do the driver's work as it is set up: it offers no CPUs, and nobody waits for it. */
export function unsuits({ code }: Finding): boolean {
  return code === CODES.cpuManagerStatic || code === CODES.nriOff;
}

/** Whether whoever waits until a program is ready is to wait for it. What is wrong with a claim is not: it is told, and holds up no rollout. */
export function holdsUp({ code }: Finding): boolean {
  return code.severity === "wrong" && !Object.values<Code>(CLAIM_CODES).includes(code);
}

/** docs/codes.md */
export function codesDocument(): string {
  const sections = ALL_CODES.map(
    ({ id, title, severity, meaning, action }) =>
      `## ${id}\n\n**${title}** (${severity})\n\n${meaning}\n\n*What to do:* ${action}\n`,
  );
  return [
    "# Codes",
    "",
    "Whatever the programs have to say about something wrong carries one of these codes: findings of `dracpu doctor`, problems of the state and of `/readyz`, Events, log lines (field `code`), alerts. *wrong*: a promise is not kept or something does not work; *warning*: it may come to that.",
    "",
    ...sections,
  ].join("\n");
}
