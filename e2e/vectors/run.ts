import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { answer, type Answer } from "./answer.ts";
import { readVectors } from "./cases.ts";
import { compare, judge, quality, type Verdict } from "./judge.ts";
import { bestQuality, MOST_SETS } from "./optimal.ts";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { out: { type: "string" } } });
const folder = positionals[0];
if (folder === undefined) {
  console.error("Cannot answer vectors: no folder; wanted: npm run vectors -- DIR [--out FILE]");
  process.exit(2);
}
const { machines, cases } = readVectors(folder);
const answers: Answer[] = [];
const counts: Record<Verdict | "skipped", number> = {
  equal: 0,
  better: 0,
  "as good": 0,
  worse: 0,
  invalid: 0,
  skipped: 0,
};
const tried = { cases: 0, best: 0, recordedBest: 0 };
let spent = 0;
for (const one of cases) {
  const machine = machines.get(one.machine);
  if (machine === undefined) throw new Error(`case ${one.id} names machine ${one.machine}, which is not in the file`);
  const start = performance.now();
  const ours = answer(machine, one);
  spent += performance.now() - start;
  answers.push(ours);
  const verdict =
    "skipped" in ours ? "skipped" : judge(machine, one, "answer" in ours ? CpuSet.parse(ours.answer) : undefined);
  counts[verdict]++;
  if (verdict === "worse" || verdict === "invalid")
    console.log(`${verdict}: ${JSON.stringify(ours)} of ${JSON.stringify(one)}`);
}
for (const [index, one] of cases.entries()) {
  const machine = machines.get(one.machine);
  const ours = answers[index];
  if (machine === undefined || ours === undefined || !("answer" in ours)) continue;
  const best = bestQuality(machine, one);
  if (best === undefined) continue;
  const is = (cpus: string): boolean => compare(quality(machine, CpuSet.parse(cpus), one), best) === 0;
  tried.cases++;
  if (is(ours.answer)) tried.best++;
  else console.log(`not the best: ${JSON.stringify(ours)} of ${JSON.stringify(one)}`);
  if (typeof one.kubelet === "string" && one.wrong === undefined && is(one.kubelet)) tried.recordedBest++;
}
if (values.out !== undefined) writeFileSync(values.out, answers.map((one) => `${JSON.stringify(one)}\n`).join(""));
console.log(
  `${cases.length} cases on ${machines.size} machines: ${Object.entries(counts)
    .map(([verdict, n]) => `${n} ${verdict}`)
    .join(", ")}; ${Math.round(spent)} ms`,
);
console.log(
  `${tried.cases} cases have at most ${MOST_SETS} possible answers: ours is the best of all in ${tried.best}, the recorded one in ${tried.recordedBest}`,
);
process.exitCode = counts.worse + counts.invalid > 0 || tried.best < tried.cases ? 1 : 0;
