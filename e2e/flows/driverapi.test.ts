import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiServer } from "@dracpu/driver/apiserver/apiserver.ts";
import { ApiFault } from "@dracpu/driver/apiserver/fault.ts";
import { ApiHttp } from "@dracpu/driver/apiserver/http.ts";
import { nodeLabels } from "@dracpu/driver/apiserver/nodelabels.ts";
import { Publisher } from "@dracpu/driver/publish/publisher.ts";
import { expect } from "chai";
import { allocatedClaim, NODE } from "../kit/driver.ts";
import { FakeApiServer } from "../kit/fakecluster/apiserver.ts";
import { until } from "../kit/node/processes.ts";

describe("the driver and an odd API server", () => {
  const dir = mkdtempSync(join(tmpdir(), "api-"));
  const said: { message: string; fields: unknown }[] = [];
  const say = (message: string, fields?: unknown): unknown => said.push({ message, fields });
  const log = { info: () => {}, warn: say, error: say };
  let fake: FakeApiServer;
  let api: ApiServer;
  let stop: AbortController;
  beforeEach(async () => {
    fake = new FakeApiServer();
    await fake.listen();
    api = new ApiServer(new ApiHttp(fake.kubeconfig(join(dir, "kubeconfig"))), log);
    stop = new AbortController();
    said.length = 0;
  });
  afterEach(async () => {
    stop.abort();
    await fake.close();
  });
  after(() => rmSync(dir, { recursive: true }));
  const publish = (): { publisher: Publisher; ended: Promise<unknown> } => {
    const publisher = new Publisher({
      api,
      driver: "dra.cpu",
      nodeName: NODE,
      devices: () => [{ name: "d", attributes: {} }],
      wishes: { shared: true, lists: false, taints: true, mapping: "none" },
      log,
    });
    const ended = publisher.run(stop.signal).then(
      () => "ended",
      (cause: unknown) => cause,
    );
    return { publisher, ended };
  };
  const count = (text: string): number => fake.requests.filter((one) => one.includes(text)).length;
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  it("a claim is gone only where the server says so of this claim", async () => {
    const get = (): Promise<unknown> =>
      api.get("default", "a", AbortSignal.timeout(3000)).catch((cause: unknown) => cause);
    expect(await get()).to.equal(undefined);
    fake.fault = { code: 404, message: "404 page not found" };
    const fault = await get();
    expect(fault).to.be.instanceOf(ApiFault);
    expect((fault as ApiFault).message)
      .to.include("http://127.0.0.1")
      .and.include("404 page not found");
    for (const [kind, name, reason, isGone] of [
      ["resourceclaims", "a", "NotFound", true],
      ["resourceclaims", "b", "NotFound", false],
      ["", "", "NotFound", false],
      ["namespaces", "a", "NotFound", false],
      ["resourceclaims", "a", "Fake", false],
    ] as const) {
      const given = new ApiFault(404, reason, "", { details: { kind, name } });
      expect(given.isGone("resourceclaims", "a"), `${kind} ${name} ${reason}`).to.equal(isGone);
    }
  });

  const failure = (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => "no failure",
      (cause: unknown) => (cause as Error).message,
    );

  it("a right that is missing is named", async () => {
    fake.fault = { code: 403, message: "forbidden" };
    const soon = AbortSignal.timeout(3000);
    expect(await failure(api.get("default", "a", soon))).to.include(
      'lacks the right "get" on "resourceclaims" in API group "resource.k8s.io"',
    );
    expect(await failure(api.list("dra.cpu", NODE, soon))).to.include('"list" on "resourceslices"');
  });

  it("a success that makes no sense is a fault, and the watch goes on when sense is back", async () => {
    fake.claims.set("default/a", {} as never);
    const asked = failure(api.get("default", "a", AbortSignal.timeout(1500)));
    await until("it was answered", () => fake.requests.length > 1, 1400, 5);
    fake.silent = true;
    expect(await asked, "the last answer, where the last request got none").to.include("cannot be understood");
    fake.silent = false;
    fake.claims.set("default/a", allocatedClaim("a", 1).claim);
    expect((await api.get("default", "a", AbortSignal.timeout(3000)))?.metadata.name).to.equal("a");
    const { publisher, ended } = publish();
    for (const body of ["{}", "null", '{"metadata":{"resourceVersion":"1"},"items":[{}]}']) {
      fake.oddList = body;
      const before = count("GET /apis/resource.k8s.io/v1/resourceslices");
      fake.endWatches(true);
      await until(`it lists ${body}`, () => count("GET /apis/resource.k8s.io/v1/resourceslices") > before, 8000, 5);
    }
    fake.oddList = undefined;
    await until("it is published", () => publisher.state().published, 8000, 20);
    for (const line of ['{"type":"ADDED"}', "null", "{"]) {
      const before = count("resourceslices?watch");
      await until("a watch is told", () => fake.tellOdd(line), 8000, 5);
      await until(`it watches again after ${line}`, () => count("resourceslices?watch") > before, 8000, 5);
    }
    fake.deleteSlice([...fake.slices.keys()][0] ?? "");
    await until("the slice is back", () => fake.slices.size === 1, 8000, 20);
    stop.abort();
    expect(await ended).to.equal("ended");
  }).timeout(30_000);

  it("a writer that always writes after us is met less and less often, and named once", async () => {
    publish();
    await until("it is published", () => fake.slices.size === 1, 5000, 10);
    fake.meddler = (slice) => ({
      ...slice,
      metadata: { ...slice.metadata, managedFields: [{ manager: "dra.cpu" }, { manager: "meddler" }] },
      spec: { ...slice.spec, devices: [] },
    });
    fake.deleteSlice([...fake.slices.keys()][0] ?? "");
    await sleep(2500);
    expect(count("PATCH")).to.be.at.most(20);
    await until("it has met it several times", () => count("PATCH") >= 6, 8000, 20);
    expect(said.filter(({ message }) => message.includes("somebody else writes"))).to.have.lengthOf(1);
    expect(JSON.stringify(said)).to.include('"managers":"meddler"');
  });

  it("a server that ends each watch at once is asked less and less often", async () => {
    fake.endsWatchesAtOnce = true;
    publish();
    await sleep(1200);
    expect(count("?watch")).to.be.at.most(7);
    await until("it has asked again", () => count("?watch") >= 2, 8000, 20);
  });

  it("bodies of all methods are read as such, and not as another request", async () => {
    const http = new ApiHttp(fake.kubeconfig(join(dir, "kubeconfig")));
    const body = { kind: "DeleteOptions", apiVersion: "v1" };
    const codes: unknown[] = [];
    for (let n = 0; n < 3; n++)
      await http
        .json({ method: "DELETE", path: "/api/v1/namespaces/a/configmaps/b", body, signal: stop.signal })
        .catch((cause: unknown) => codes.push((cause as ApiFault).code));
    expect(codes).to.deep.equal([404, 404, 404]);
  });

  it("labels that cannot be remembered are used", async () => {
    fake.nodeLabels = { type: "metal", other: "x" };
    const memory = {
      lastSeen: () => undefined,
      save: () => Promise.reject(new Error("Cannot write node-labels.json: the disk is full; free space on it")),
    };
    expect(await nodeLabels(api, memory, NODE, ["type"], log)).to.deep.equal({ type: "metal" });
    expect(JSON.stringify(said)).to.include("the disk is full");
  });

  it("a Retry-After of months is not waited for", async () => {
    const { publisher } = publish();
    await until("it is published", () => publisher.state().published, 5000, 10);
    fake.fault = { code: 429, message: "busy", retryAfter: 9_999_999 };
    fake.endWatches();
    await sleep(300);
    const before = count("resourceslices");
    await sleep(700);
    expect(count("resourceslices") - before, "no loop without a pause").to.be.below(5);
  });

  it("a slice whose deletion nobody told is published again after the kubelet's contact", async () => {
    const { publisher } = publish();
    await until("it is published", () => publisher.state().published, 5000, 10);
    fake.slices.clear();
    publisher.contact(stop.signal);
    await until("the slice is back", () => fake.slices.size === 1, 5000, 20);
  });
});
