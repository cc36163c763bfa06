import { request as httpRequest } from "node:http";
import { connect as connectH2 } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { NodePrepareResourcesRequestSchema } from "@dracpu/shared-proto/gen/kubelet/dra_v1_pb.ts";
import { expect } from "chai";
import fc from "fast-check";
import { FakeWorld } from "../../bench/fakeworld.ts";
import { allocatedClaim } from "../../kit/driver.ts";
import { container, pod } from "../../kit/enforcer.ts";
import { until } from "../../kit/node/processes.ts";
import { bundles } from "../programs.ts";
import { corpus, mutated, runs } from "./mutate.ts";
import { shipped } from "../../../images/environment.ts";

const CONTROL = "dracpu.agent.v1.Control";
const INSPECT = "dracpu.agent.v1.Inspect";
const DRA = "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin";

// Both programs as processes, with a claim that is held: whatever comes in on their sockets, it stays held, and both go on.
describe("hostile bytes on the programs' sockets", function () {
  this.timeout(600_000);
  let world: FakeWorld;
  let pids: (number | undefined)[];
  let cpus: string;
  const held = async (): Promise<string> => (await world.agent.state()).pool?.held ?? "";
  const alive = async (): Promise<void> => {
    expect([world.driver.daemon?.pid, world.agent.daemon?.pid]).to.deep.equal(pids);
    expect(world.driver.daemon?.isAlive() === true && world.agent.daemon?.isAlive() === true).to.equal(true);
    const state = await world.agent.state();
    expect(state.pool?.held).to.equal(cpus);
    expect(state.allocations.map((one) => one.claim?.name)).to.deep.equal(["mine"]);
    expect(state.held?.epoch).to.equal(1n);
  };

  before(async () => {
    const programs = await bundles();
    world = new FakeWorld({ driver: shipped(programs.driver), agent: shipped(programs.agent) });
    await world.listen();
    const plugin = world.runtime.plugin();
    world.agent.start();
    world.driver.start();
    await plugin;
    const shared = container("p", "s");
    world.cgroups.add([shared]);
    await world.runtime.synchronize([pod("p")], [shared]);
    await world.agent.synchronized();
    await world.kubelet.register();
    const { claim, ref } = allocatedClaim("mine", 2);
    world.api.claims.set("default/mine", claim);
    expect((await world.kubelet.prepare(ref)).error).to.equal("");
    cpus = await until("it is held", async () => (await held()) || undefined);
    pids = [world.driver.daemon?.pid, world.agent.daemon?.pid];
  });
  after(() => world.end());

  const sockets = (): Record<string, string> => ({
    control: join(world.dir, "ctl", "control.sock"),
    inspect: join(world.dir, "ins", "inspect.sock"),
    dra: join(world.kubelet.rootDir, "plugins/dra.cpu/dra.sock"),
    registration: join(world.kubelet.rootDir, "plugins_registry/dra.cpu-reg.sock"),
  });

  /** Sends bytes and waits for the end of the connection, or a little for no end. */
  const raw = (path: string, bytes: Uint8Array, ms = 30): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect({ path });
      socket.on("error", () => resolve());
      socket.on("close", () => resolve());
      socket.resume();
      socket.end(bytes);
      setTimeout(() => socket.destroy(), ms);
    });

  for (const name of ["control", "inspect", "dra", "registration"])
    it(`${name}: any bytes are survived`, async () => {
      const seeds = [...corpus("bodies").values()];
      await fc.assert(
        fc.asyncProperty(fc.array(mutated(seeds), { minLength: 5, maxLength: 20 }), async (all) => {
          await Promise.all(all.map((bytes) => raw(sockets()[name] ?? "", bytes)));
        }),
        runs(20),
      );
      await alive();
    });

  const json = fc.oneof(
    fc.json({ maxDepth: 3 }),
    fc.constantFrom(
      ...[
        "",
        "{",
        "null",
        "[]",
        '"x"',
        "1e999",
        "[".repeat(3000),
        `{"epoch":"-1"}`,
        '{"epoch":"99999999999999999999"}',
      ],
      ...[
        '{"__proto__":{"x":1}}',
        '{"claims":["' + "x".repeat(5000) + '"]}',
        '{"maxContainers":-1}',
        '{"afterSeq":"18446744073709551615"}',
      ],
      ...['{"epoch":"1","revision":"1","claims":["uid-mine"],"timeoutMs":4294967295}'],
      // Of an epoch that was overtaken: what it says of claims must not count.
      ...[
        '{"epoch":"0","revision":"9","machine":{"online":"0"},"allocations":[]}',
        '{"epoch":"1","baseRevision":"7","revision":"8","removals":["uid-mine"]}',
      ],
    ),
  );
  const headers = fc.dictionary(
    fc.constantFrom(
      "content-type",
      "connect-timeout-ms",
      "content-encoding",
      "connect-protocol-version",
      "host",
      "accept-encoding",
      "transfer-encoding",
    ),
    fc.constantFrom(
      "application/json",
      "application/proto",
      "application/grpc",
      "gzip",
      "-1",
      "99999999999",
      "x",
      "*",
      "identity, chunked",
      "",
    ),
    { maxKeys: 3 },
  );
  const method = fc.constantFrom(
    ...["Hello", "Replace", "Apply", "Await", "Nothing"].map((name) => `${CONTROL}/${name}`),
    ...["GetState", "GetVersion"].map((name) => `${INSPECT}/${name}`),
  );

  /** @returns the status, 0 where there was none. A body that cannot be decoded is a 500 of the library's. */
  const post = (path: string, name: string, all: Record<string, string>, body: string): Promise<number> =>
    new Promise((resolve) => {
      const sent = httpRequest(
        {
          socketPath: path,
          path: `/${name}`,
          method: "POST",
          headers: { "content-type": "application/json", ...all },
          timeout: 6000,
        },
        (response) => {
          response.resume();
          response.on("close", () => resolve(response.statusCode ?? 0));
        },
      );
      sent.on("error", () => resolve(0));
      sent.on("timeout", () => sent.destroy());
      sent.end(body);
      setTimeout(() => sent.destroy(), 300);
    });

  it("any body and header of a call are answered or refused, and change nothing", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(method, headers, json), { minLength: 1, maxLength: 10 }), async (calls) => {
        await Promise.all(
          calls.map(([name, all, body]) => {
            const { control = "", inspect = "" } = sockets();
            return post(name.startsWith(CONTROL) ? control : inspect, name, all, body).catch(() => 0);
          }),
        );
      }),
      runs(60),
    );
    await alive();
  });

  it("any message of a kubelet's call is answered, and changes nothing", async () => {
    const session = connectH2("http://localhost", {
      createConnection: () => connect({ path: sockets()["dra"] ?? "" }),
    });
    session.on("error", () => {
      // Seen by what does not answer.
    });
    const good = toBinary(
      NodePrepareResourcesRequestSchema,
      create(NodePrepareResourcesRequestSchema, {
        claims: [{ uid: "uid-other", namespace: "default", name: "other" }],
      }),
    );
    const ask = (name: string, message: Uint8Array, length: number): Promise<void> =>
      new Promise((resolve) => {
        const stream = session.request({
          ":method": "POST",
          ":path": `${DRA}/${name}`,
          "content-type": "application/grpc",
          te: "trailers",
        });
        stream.on("error", () => resolve());
        stream.on("close", () => resolve());
        stream.resume();
        const frame = Buffer.alloc(5);
        frame.writeUInt32BE(length, 1);
        stream.end(Buffer.concat([frame, message]));
        setTimeout(() => stream.close(), 200);
      });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("NodePrepareResources", "NodeUnprepareResources", "Nothing"),
        mutated([good]),
        fc.option(fc.nat(2 ** 32 - 1), { nil: undefined, freq: 6 }),
        (name, message, length) => ask(name, message, length ?? message.length),
      ),
      runs(200),
    );
    session.destroy();
    await alive();
    const { claim, ref } = allocatedClaim("after", 1);
    world.api.claims.set("default/after", claim);
    expect((await world.kubelet.prepare(ref)).error).to.equal("");
    expect(await world.kubelet.unprepare(ref)).to.equal("");
    await until("it is gone again", async () => (await held()) === cpus);
  });
});
