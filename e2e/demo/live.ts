import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { EmbeddedNode } from "../kit/embedded/node.ts";

const EVERY_MS = 10_000;

/** Stays up until it is asked to end, says what to try, and lets a pod come and go so that there is something to see. */
export async function live(
  node: EmbeddedNode,
  options: { draw(): Promise<string>; program: readonly string[]; signal: AbortSignal },
): Promise<void> {
  const dracpu = options.program.map((word) => (word === process.execPath ? "node_modules/.bin/node" : word)).join(" ");
  const call = `-H 'content-type: application/json' -d '{}' http://localhost/dracpu.agent.v1.Inspect/GetState`;
  console.log(`
${await options.draw()}

The node stays up; a pod with a claim comes and goes. Ask it from another terminal:

  alias dracpu='${dracpu}'; export C='--config ${node.config}'
  dracpu state $C
  dracpu call WatchEvents $C
  curl --unix-socket ${node.inspectSocket} ${call}
  node_modules/.bin/buf curl --schema shared-proto/proto --unix-socket ${node.inspectSocket} --http2-prior-knowledge=false http://localhost/dracpu.agent.v1.Inspect/GetState
  kill -9 ${node.driver.daemon?.pid ?? 0}   # the driver; nothing moves
  tail -f ${node.dir}/*.log

Ctrl-C ends it.`);
  for (let n = 0; !options.signal.aborted; n++) {
    await pause(EVERY_MS, options.signal);
    const visitor = node.pods.get("visitor");
    try {
      if (visitor !== undefined) await node.remove(visitor);
      else
        await node.submit({
          namespace: "shop",
          name: "visitor",
          containers: ["main"],
          claim: { cpus: 1 + (n % 4) },
        });
    } catch (cause) {
      console.log(`visitor: ${(cause as Error).message}`);
    }
  }
}
