import { styleText } from "node:util";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { EmbeddedNode } from "../kit/embedded/node.ts";

const EVERY_MS = 10_000;
const LOOK_MS = 1000;

/** Stays up until it is asked to end, says what to try, and lets a pod come and go so that there is something to see. */
export async function live(
  node: EmbeddedNode,
  options: { draw(): Promise<string>; program: readonly string[]; signal: AbortSignal },
): Promise<void> {
  const dracpu = options.program.map((word) => (word === process.execPath ? "node_modules/.bin/node" : word)).join(" ");
  const socket = node.inspectSocket;
  const method = "http://localhost/dracpu.agent.v1.Inspect/GetState";
  console.log(`
${await options.draw()}

The node stays up, and a pod with a claim comes and goes. Look at it:

  ${styleText("bold", node.pageUrl)}

Ask it, from another terminal:

  alias dracpu='${dracpu}'; C='--config ${node.config}'
  dracpu map $C                        # also claims, watch, doctor, gather, state; -o json
  dracpu explain trading/quotes $C
  dracpu call WatchEvents $C
  curl --unix-socket ${socket} -H 'content-type: application/json' -d '{}' ${method}
  node_modules/.bin/buf curl --schema shared-proto/proto --unix-socket ${socket} ${method}

Hurt it:

  kill -9 ${node.driver.daemon?.pid ?? 0}      # the driver: nothing moves, and it is started again
  kill -9 ${node.agent.daemon?.pid ?? 0}      # the agent: the same
  tail -f ${node.dir}/*.log

Ctrl-C ends it.`);
  void keepUp(node, options.signal);
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

/** Starts again what somebody has killed, as the kubelet does. */
async function keepUp(node: EmbeddedNode, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause(LOOK_MS, signal);
    if (signal.aborted) return;
    try {
      if (node.driver.daemon?.isAlive() === false) await node.startDriver();
      if (node.agent.daemon?.isAlive() === false) await node.startAgent();
    } catch (cause) {
      console.log((cause as Error).message);
    }
  }
}
