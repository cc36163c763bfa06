import type { Explanation } from "../picture/explain.ts";
import { entryLine } from "../picture/timeline.ts";
import { age, clock, plain, styled } from "./table.ts";

/** Lines of the history that are shown. */
const SHOWN = 12;

/** Changes when a field changes its meaning or goes; new fields do not change it. */
export const EXPLAIN_LAYOUT = "explain.dra.cpu/v1";

/** The verdict first, then why. */
export function printExplanations(found: readonly Explanation[], nowMs: number): string {
  return found.map((one) => printOne(one, nowMs)).join("\n\n");
}

function printOne(one: Explanation, nowMs: number): string {
  const { container } = one;
  const row = (label: string, text: string): string[] => (text === "" ? [] : [`  ${label.padEnd(10)} ${plain(text)}`]);
  const mark = one.isWrong ? styled("red", "✗") : styled("green", "✔");
  const read = container.readMs === 0 ? "never read" : `read ${age(nowMs - container.readMs)} ago`;
  const history = one.history.slice(-SHOWN);
  return [
    `${mark} ${styled("bold", plain(one.verdict))}`,
    ...one.claims.flatMap((claim) => [
      ...row("claim", `${claim.namespace}/${claim.name}, ${claim.phase}${claim.isolated ? ", isolated" : ""}`),
      ...claim.shares.flatMap((share) =>
        row("request", `${share.request}: CPUs ${share.cpus} of device ${share.device}`),
      ),
      ...row("idle", claim.idle === "" ? "" : `${claim.idle}, kept without work beside their siblings`),
      ...(claim.chosen === undefined
        ? row("why", "not known any more: chosen by an earlier release, or adopted")
        : [
            ...row("why", claim.chosen.wishes.join("; ")),
            ...row("", `free then (${clock(claim.chosen.atMs)}): ${claim.chosen.free}; operation ${claim.operation}`),
          ]),
    ]),
    ...row("place", one.place),
    ...row("phase", `${container.phase}, ${container.role}`),
    ...row("wanted", container.wanted),
    ...row("sent", container.sent),
    ...row("effective", container.effective === "" ? "" : `${container.effective} (${read})`),
    ...row("partition", container.partition),
    ...row("cgroup", container.cgroup),
    ...row("problem", container.problem),
    ...row("also there", one.others.length > 6 ? `${one.others.length} containers` : one.others.join(", ")),
    ...(history.length === 0 ? [] : ["  what happened"]),
    ...history.map((entry) => `    ${plain(entryLine(entry, clock))}`),
  ].join("\n");
}
