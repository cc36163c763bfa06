import type { Check, Verdict } from "../doctor/facts.ts";
import { plain, styled, type Style } from "./table.ts";

/** Changes when a field changes its meaning or goes; new fields do not change it. */
export const DOCTOR_LAYOUT = "doctor.dra.cpu/v1";

const SIGNS: Readonly<Record<Verdict, readonly [string, Style]>> = {
  fine: ["✔", "green"],
  note: ["i", "cyan"],
  unknown: ["?", "dim"],
  warning: ["!", "yellow"],
  wrong: ["✗", "red"],
};

export function printChecks(checks: readonly Check[]): string {
  const width = Math.max(...checks.map((one) => one.what.length));
  const count = (verdict: Verdict): number => checks.filter((one) => one.verdict === verdict).length;
  return [
    ...checks.flatMap(({ what, verdict, code, text, action }) => {
      const [sign, style] = SIGNS[verdict];
      const isToDo = verdict === "wrong" || verdict === "warning";
      return [
        `${styled(style, sign)} ${what.padEnd(width)}  ${plain(text)}${code === "" ? "" : styled("dim", ` [${code}]`)}`,
        ...(isToDo ? [`  ${" ".repeat(width)}  ${styled("dim", plain(action))}`] : []),
      ];
    }),
    "",
    `${count("wrong")} wrong, ${count("warning")} warnings, ${count("unknown")} not seen`,
  ].join("\n");
}

/** 0 fine, 3 something is wrong, 4 warnings only. */
export function statusOfChecks(checks: readonly Check[]): number {
  if (checks.some((one) => one.verdict === "wrong")) return 3;
  return checks.some((one) => one.verdict === "warning") ? 4 : 0;
}
