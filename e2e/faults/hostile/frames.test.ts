import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Channel } from "@dracpu/nri-agent/runtime/channel.ts";
import { expect } from "chai";
import fc from "fast-check";
import { AgentNode } from "./agentnode.ts";
import { corpus, mutated, runs } from "./mutate.ts";

// The plugin's side of a real socket, with the agent's decisions behind it; the runtime's side sends anything.
describe("hostile frames on the NRI socket", function () {
  this.timeout(600_000);
  const dir = mkdtempSync(join(tmpdir(), "hf-"));
  const path = join(dir, "s");
  let server: Server;
  let arrived: (socket: Socket) => void = () => {};
  before((done) => {
    server = createServer((socket) => arrived(socket)).listen(path, done);
  });
  after((done) => {
    server.close(() => {
      rmSync(dir, { recursive: true });
      done();
    });
  });

  /** Sends the chunks, then ends the connection. @returns why the channel closed. */
  const send = async (chunks: readonly Uint8Array[]): Promise<string> => {
    const node = new AgentNode();
    await node.start();
    const accepted = new Promise<Socket>((resolve) => {
      arrived = resolve;
    });
    const socket = connect({ path });
    const runtime = await accepted;
    runtime.on("error", () => {
      // The plugin may close while we still write.
    });
    runtime.resume();
    const closed = new Promise<string>((resolve) => {
      const channel = new Channel(socket, node.dispatch.serve, resolve);
      expect(channel).to.be.an("object");
    });
    for (const chunk of chunks) {
      runtime.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    runtime.end();
    const why = await closed;
    expect(node.wrong()).to.deep.equal([]);
    node.stop();
    return why;
  };

  it("of any bytes, however cut, end the connection with a reason or do nothing", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(mutated([...corpus("frames").values()]), { minLength: 1, maxLength: 4 }),
        async (chunks) => {
          expect(await send(chunks)).to.match(
            /the runtime (sent what cannot be understood|closed the connection)|EPIPE|ECONNRESET/,
          );
        },
      ),
      runs(1000),
    ));

  for (const [name, bytes] of corpus("frames"))
    it(`corpus: ${name}`, async () => {
      expect(await send([bytes])).to.match(/the runtime (sent what cannot be understood|closed the connection)/);
      await send([...bytes].map((one) => Uint8Array.of(one)));
    });
});
