import type { FindingView } from "../picture/picture.ts";
import { plain, styled } from "./table.ts";

/** What is wrong, worst first, each with what to do. */
export function findingLines(findings: readonly FindingView[]): string[] {
  const worst = [...findings].sort((a, b) => Number(b.severity === "wrong") - Number(a.severity === "wrong"));
  return worst.flatMap((one) => [
    one.severity === "wrong"
      ? `${styled("red", "✗")} ${plain(one.text)} ${styled("dim", `[${one.code}]`)}`
      : `${styled("yellow", "!")} ${plain(one.text)} ${styled("dim", `[${one.code}]`)}`,
    `  ${styled("dim", plain(one.action))}`,
  ]);
}

/** 0 fine, 3 something is wrong, 4 warnings only. */
export function statusOf(findings: readonly FindingView[]): number {
  if (findings.some((one) => one.severity === "wrong")) return 3;
  return findings.length > 0 ? 4 : 0;
}
