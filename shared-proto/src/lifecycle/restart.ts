import { readFileSync } from "node:fs";

/**
 * Ends the first process of the container that this one runs in, in order, so that the kubelet starts the container again; the rest of the pod stays as it is.
 *
 * @param program its name, such as `dracpu`
 * @throws Error where the first process is no other one than that program.
 */
export function restartContainer(program: string): void {
  const command = readFileSync("/proc/1/cmdline", "utf8").split("\0");
  if (process.pid === 1 || !command.some((part) => part.endsWith(`/${program}`) || part.endsWith(`/${program}.cjs`))) {
    throw new Error(
      `Cannot restart ${program}: the first process here is ${command.join(" ").trim()}; run this in its container, with kubectl exec`,
    );
  }
  process.kill(1, "SIGTERM");
}
