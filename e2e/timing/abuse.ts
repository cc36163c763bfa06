import { connect } from "node:net";
import { createClient } from "@connectrpc/connect";
import { unixTransport } from "@dracpu/shared-proto/client/call.ts";
import { Inspect } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";

/** How often each kind was ended or answered, and how. */
export type Seen = Readonly<Record<string, number>>;

const READ_EVERY_MS = 100;
const HUGE_EVERY_MS = 200;
const ODD_HOSTS = ["%2Fx", "a b", "[", "http://", "\u00ff"];

/** Clients of the agent's sockets that behave badly, all at once, beside 16 that read its state ten times a second, until `signal`. */
async function abuse(control: string, inspect: string, signal: AbortSignal): Promise<Seen> {
  const seen: Record<string, number> = {};
  const count = (what: string): void => void (seen[what] = (seen[what] ?? 0) + 1);
  const repeat = async (everyMs: number, once: (n: number) => Promise<unknown>): Promise<void> => {
    for (let n = 0; !signal.aborted; n++) {
      const began = performance.now();
      await once(n);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, everyMs - (performance.now() - began))));
    }
  };
  const readers = Array.from({ length: 16 }, () => {
    const client = createClient(Inspect, unixTransport(inspect));
    return repeat(READ_EVERY_MS, async () => {
      await client.getState({});
      count("state");
    });
  });
  const oddHosts = repeat(20, async (n) => {
    const text = request("Inspect/GetVersion", "{}", ODD_HOSTS[n % ODD_HOSTS.length] ?? "");
    count(`odd host: ${status(await say(inspect, text))}`);
  });
  // Longer than either socket takes.
  const bodies = [
    [inspect, request("Inspect/GetState", JSON.stringify({ podName: "x".repeat(2 << 20) }))],
    [control, request("Control/Hello", JSON.stringify({ driverVersion: "x".repeat(17 << 20) }))],
  ] as const;
  const huge = repeat(HUGE_EVERY_MS, async (n) => {
    const [path, text] = bodies[n % 10 === 9 ? 1 : 0];
    count(`huge body: ${status(await say(path, text))}`);
  });
  const halfOpen = Array.from({ length: 20 }, () =>
    repeat(10, async () => {
      await say(inspect, "POST /dracpu.agent.v1.Inspect/GetState HTTP/1.1\r\nHost: x\r\nContent-Le", signal);
      count("half-open");
    }),
  );
  const garbage = repeat(50, async () => {
    count(`garbage: ${status(await say(inspect, "\0\0\0\0garbage\r\n\r\n"))}`);
  });
  await Promise.all([...readers, oddHosts, huge, ...halfOpen, garbage]);
  return seen;
}

function request(method: string, body: string, host = "x"): string {
  return `POST /dracpu.agent.v1.${method} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function status(answer: string): string {
  return /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? "no answer";
}

/** Says it, and gives what comes until the other side ends it, or `signal` does. */
function say(path: string, text: string, signal?: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    let answer = "";
    const end = (): void => void socket.destroy();
    signal?.addEventListener("abort", end, { once: true });
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      signal?.removeEventListener("abort", end);
      resolve(answer);
    });
    socket.write(text);
  });
}

const ending = new AbortController();
process.once("message", () => ending.abort());
process.send?.(await abuse(process.argv[2] ?? "", process.argv[3] ?? "", ending.signal));
process.disconnect();
