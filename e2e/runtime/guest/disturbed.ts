import { readFileSync, writeFileSync } from "node:fs";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { ContainerHandle } from "../../kit/containerd/pods.ts";
import { until, type Daemon } from "../../kit/node/processes.ts";
import { allowed, becomes, CGROUP, drained, file, firstWords, same, setOnline, type Lab } from "./lab.ts";

/**
 * A partition and whoever disturbs it: CPUs that go away, other programs, the kernel, its own pod that grows. Nothing else is claimed then.
 * @param s1 a container without a claim.
 * @returns what is left: a claim, and its container on CPUs 4-5.
 */
export async function disturbed(
  lab: Lab,
  s1: ContainerHandle,
  rows: readonly string[],
): Promise<{ readonly c3: { readonly uid: string }; readonly x3: ContainerHandle }> {
  const { pods, agent } = lab;
  const hot = await pods.pod("hot");
  const c3 = await agent.claim({ cpus: "4-5" }, [hot]);
  const x3 = await pods.run(hot, "x3", { cdi: Object.values(c3.ids) });
  await lab.row(rows[0] ?? "", async () => {
    await firstWords(x3, "4-5");
    await setOnline(4, false);
    await becomes("x3 runs on", () => x3.allowed(), "5");
    await setOnline(4, true);
    await becomes("x3 runs on", () => x3.allowed(), "4-5");
    // Away when the partition is made.
    const late = await pods.pod("late");
    const c4 = await agent.claim({ cpus: "10-11" }, [late]);
    await setOnline(11, false);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const x4 = await pods.run(late, "x4", { cdi: Object.values(c4.ids) });
    await firstWords(x4, "10");
    same("partition", file(`${x4.cgroup}/cpuset.cpus.partition`), "root");
    await setOnline(11, true);
    await becomes("x4 runs on", () => x4.allowed(), "10-11");
    await becomes("s1 runs on", () => s1.allowed(), "0-3,6-9,12-15");
    await pods.remove(x4);
    await agent.release(c4.uid);
    await drained(agent, c4.uid);
  });
  await lab.row(rows[1] ?? "", async () => {
    const escapes = async (): Promise<number> => Number((await agent.state()).counters?.escapes);
    const before = await escapes();
    await setOnline(4, false);
    // The kernel's deadline scheduler may refuse to give up the last CPU of a scheduling domain (EBUSY): then the claim keeps it. Each try stops the
    // machine, which takes an emulated one seconds.
    const kept = await setOnline(5, false, 500).then(
      () => false,
      (cause: unknown) => {
        if (!(cause as Error).message.includes("EBUSY")) throw cause;
        return true;
      },
    );
    console.log(`      the kernel ${kept ? "keeps" : "gives up"} the last CPU of a partition`);
    if (kept) {
      same("x3 runs on", x3.allowed(), "5");
      same("escapes", String(await escapes()), String(before));
    } else await until("the escape is counted", async () => (await escapes()) > before, 15_000, 200);
    await setOnline(4, true);
    await setOnline(5, true);
    await becomes("x3 runs on", () => x3.allowed(), "4-5", 30_000);
    await becomes("s1 runs on", () => s1.allowed(), "0-3,6-15", 30_000);
  });
  await lab.row(rows[2] ?? "", async () => {
    const times: number[] = [];
    for (let n = 0; n < 8; n++) {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const began = Date.now();
      writeFileSync(`${CGROUP}${x3.cgroup}/cpuset.cpus.partition`, "member\n");
      await becomes("partition", () => file(`${x3.cgroup}/cpuset.cpus.partition`), "root");
      times.push(Date.now() - began);
    }
    console.log(`      put right after ${times.join(", ")} ms`);
    // One may fall into a moment in which the emulated machine stands still.
    const usual = times.sort((a, b) => a - b).slice(0, -1);
    const [least = Infinity, most = Infinity] = [usual[0], usual.at(-1)];
    if (most > 1000) throw new Error(`put right after ${most} ms, wanted 1000`);
    // The agent looks each second by itself, which would spread them over a second: the kernel has announced them, however slow the machine.
    if (most - least > 500) throw new Error(`put right after ${least} to ${most} ms, as if nobody had announced it`);
    await becomes("s1 runs on", () => s1.allowed(), "0-3,6-15");
  });
  await lab.row(rows[3] ?? "", async () => {
    const beside = await pods.run(hot, "beside");
    await firstWords(beside, "0-3,6-15");
    const partition = `${x3.cgroup}/cpuset.cpus.partition`;
    for (const [who, path, text] of [
      ["a sibling's mask", `${beside.cgroup}/cpuset.cpus`, "0-15"],
      ["a list above it", "/kubepods/cpuset.cpus.exclusive", ""],
    ] as const) {
      const before = (await agent.state()).counters;
      const log = agent.daemon?.log ?? "";
      const from = readFileSync(log, "utf8").length;
      // Else it is put right before anybody has read what the kernel says.
      await halted(agent.daemon, () => {
        writeFileSync(CGROUP + path, `${text}\n`);
        const said = file(partition);
        console.log(`      ${who}: ${said}`);
        if (!said.startsWith("root invalid")) throw new Error(`${who}: the kernel says ${said}, wanted root invalid`);
      });
      await becomes("partition", () => file(partition), "root");
      await becomes("x3 runs on", () => x3.allowed(), "4-5");
      for (const one of [s1, beside]) await becomes(`${one.name} runs on`, () => one.allowed(), "0-3,6-15");
      same("this host process runs on", allowed("self"), "0-3,6-15");
      await until("it is told", () =>
        readFileSync(log, "utf8")
          .slice(from)
          .split("\n")
          .some((line) => line.includes(CODES.escaped.id) && line.includes("no longer keeps others off its CPUs")),
      );
      const { counters } = await agent.state();
      same("escapes", String(counters?.escapes), String((before?.escapes ?? 0n) + 1n));
      same("repairs", String(counters?.repairs), String((before?.repairs ?? 0n) + 1n));
    }
    await pods.remove(beside);
  });
  await lab.row(rows[4] ?? "", async () => {
    const pod = await pods.pod("grows");
    const alone = (cpus: string): Promise<{ uid: string; ids: Readonly<Record<string, string>> }> =>
      agent.claim({ cpus }, [pod]);
    const [c8, c10] = [await alone("8-9"), await alone("10")];
    const ids = (...claims: { ids: Readonly<Record<string, string>> }[]): string[] =>
      claims.flatMap((claim) => Object.values(claim.ids));
    const podCgroup = `/kubepods/besteffort/pod${pod.uid}`;
    const is = async (cpus: string, rest: string): Promise<void> => {
      same("partition of the pod", file(`${podCgroup}/cpuset.cpus.partition`), "root");
      same("the pod's CPUs", file(`${podCgroup}/cpuset.cpus.exclusive.effective`), cpus);
      await becomes("s1 runs on", () => s1.allowed(), rest);
      same("s1's own mask", file(`${s1.cgroup}/cpuset.cpus`), "0-15");
      same("x3 runs on", x3.allowed(), "4-5");
    };
    const a = await pods.run(pod, "a", { cdi: ids(c8) });
    await firstWords(a, "8-9");
    same("a's own partition", file(`${a.cgroup}/cpuset.cpus.partition`), "root");
    const b = await pods.run(pod, "b", { cdi: ids(c8, c10) });
    await firstWords(b, "8-10");
    same("a's own partition, once the pod is one", file(`${a.cgroup}/cpuset.cpus.partition`), "member");
    await is("8-10", "0-3,6-7,11-15");
    const c12 = await alone("12");
    const c = await pods.run(pod, "c", { cdi: ids(c12) });
    await firstWords(c, "12");
    await is("8-10,12", "0-3,6-7,11,13-15");
    same("a runs on", a.allowed(), "8-9");
    same("b runs on", b.allowed(), "8-10");
    await pods.removePod(pod);
    for (const claim of [c8, c10, c12]) {
      await agent.release(claim.uid);
      await drained(agent, claim.uid);
    }
    await becomes("s1 runs on", () => s1.allowed(), "0-3,6-15");
  });
  return { c3, x3 };
}

async function halted(daemon: Daemon | undefined, run: () => void): Promise<void> {
  daemon?.signal("SIGSTOP");
  try {
    await until("it is halted", () => /\) T /.test(readFileSync(`/proc/${daemon?.pid}/stat`, "utf8")), 5000, 5);
    run();
  } finally {
    daemon?.signal("SIGCONT");
  }
}
