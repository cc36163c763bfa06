import { expect } from "chai";
import { NODE_NAME, until, type ClusterWorld } from "./world.ts";

const TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

interface Answer {
  readonly status: number;
  readonly message: string;
}

/** Tests of what the driver may do, with the token of its own pod, however it was installed. */
export function rightsOf(world: ClusterWorld): void {
  /** Asks the API server from inside of the driver's container. */
  const ask = async (method: string, path: string, body?: object): Promise<Answer> => {
    const code = `
      const fs = require("fs"), https = require("https");
      const [method, path, body] = process.argv.slice(1);
      const request = https.request({
        host: process.env.KUBERNETES_SERVICE_HOST, port: process.env.KUBERNETES_SERVICE_PORT, method, path,
        ca: fs.readFileSync("${TOKEN.replace("token", "ca.crt")}"),
        headers: {
          authorization: "Bearer " + fs.readFileSync("${TOKEN}", "utf8"),
          "content-type": method === "PATCH" ? "application/apply-patch+yaml" : "application/json",
        },
      }, (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk)).on("end", () => {
          let message = text; try { message = JSON.parse(text).message ?? ""; } catch { /* Then the text itself says what is wrong. */ }
          console.log(JSON.stringify({ status: response.statusCode, message }));
        });
      });
      request.end(body);`;
    const args = [method, path, ...(body === undefined ? [] : [JSON.stringify(body)])];
    return JSON.parse(await world.inOwn("driver", "/usr/bin/node", "-e", code, ...args)) as Answer;
  };
  const slice = (name: string, spec: object): object => ({
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceSlice",
    metadata: { name },
    spec: {
      driver: "dra.cpu",
      nodeName: NODE_NAME,
      pool: { name: NODE_NAME, generation: 0, resourceSliceCount: 1 },
      devices: [],
      ...spec,
    },
  });
  const apply = (name: string, spec: object): Promise<Answer> =>
    ask("PATCH", `/apis/resource.k8s.io/v1/resourceslices/${name}?fieldManager=test&force=true`, slice(name, spec));

  it("are enough for its own node's slices, and the policy refuses every other slice in words", async () => {
    // A policy is in force a moment after it was made.
    await until(
      "the policy refuses",
      async () => (await apply("foreign", { nodeName: "node-z" })).status === 422,
      20_000,
    );
    expect(await apply("foreign", { nodeName: "node-z" })).to.deep.include({ status: 422 });
    expect((await apply("foreign", { nodeName: "node-z" })).message).to.include(
      `The driver on node ${NODE_NAME} may not write a ResourceSlice of node node-z.`,
    );
    expect((await apply("everywhere", { nodeName: undefined, allNodes: true })).message).to.include(
      "may not write a ResourceSlice of other nodes or all nodes",
    );
    expect((await apply("alien", { driver: "gpu.example.com" })).message).to.include("driver dra.cpu only");
    const pool = { name: "elsewhere", generation: 0, resourceSliceCount: 1 };
    expect((await apply("pool", { pool })).message).to.include("named after it");
    // The driver itself takes away what is not its own doing, so this one may be gone before it is deleted.
    expect((await apply("own", {})).status).to.be.oneOf([200, 201]);
    expect((await ask("DELETE", "/apis/resource.k8s.io/v1/resourceslices/own")).status).to.be.oneOf([200, 404]);
  });

  it("may neither change nor delete another node's slice, nor make it its own", async () => {
    const pool = { name: "node-z", generation: 0, resourceSliceCount: 1 };
    const foreign = slice("of-node-z", { nodeName: "node-z", pool });
    await world.node.apply(foreign);
    const version = (): Promise<string> =>
      world.node.kubectl("get", "resourceslice", "of-node-z", "-o", "jsonpath={.metadata.resourceVersion}");
    const before = await version();
    const { status, message } = await apply("of-node-z", { nodeName: "node-z", pool, devices: [{ name: "mine" }] });
    expect(
      { status, says: message.includes(`node ${NODE_NAME} may not write a ResourceSlice of node node-z`) },
      message,
    ).to.deep.equal({ status: 422, says: true });
    // The node of a slice cannot be changed by anybody.
    expect((await apply("of-node-z", {})).status).to.equal(422);
    expect((await ask("DELETE", "/apis/resource.k8s.io/v1/resourceslices/of-node-z")).status).to.equal(422);
    expect(await version(), "nothing was written").to.equal(before);
    await world.node.kubectl("delete", "resourceslice", "of-node-z");
  });

  it("write the status of claims on its own node, and of no others", async () => {
    const claim = (name: string): object => ({
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaim",
      metadata: { name, namespace: "default" },
      spec: { devices: { requests: [{ name: "cpus", exactly: { deviceClassName: "dra.cpu" } }] } },
    });
    const patch = async (name: string, node: string): Promise<Answer> => {
      await world.node.apply(claim(name));
      const device = { driver: "dra.cpu", pool: node, device: "d" };
      const term = { matchFields: [{ key: "metadata.name", operator: "In", values: [node] }] };
      const allocation = {
        devices: { results: [{ request: "cpus", ...device }] },
        nodeSelector: { nodeSelectorTerms: [term] },
      };
      const status = ["resourceclaim", name, "--subresource=status", "--type=merge", "-p"];
      await world.node.kubectl("patch", ...status, JSON.stringify({ status: { allocation } }));
      const path = `/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/${name}/status?fieldManager=test&force=true`;
      const { spec: _, ...body } = claim(name) as { spec: object };
      const answer = await ask("PATCH", path, { ...body, status: { devices: [{ ...device, data: { cpus: "0" } }] } });
      await world.node.kubectl("delete", "resourceclaim", name);
      return answer;
    };
    expect((await patch("of-this-node", NODE_NAME)).status).to.equal(200);
    const { status, message } = await patch("of-another-node", "node-z");
    expect(
      { status, says: message.includes('resource="resourceclaims/driver", verb="[arbitrary-node:patch]"') },
      message,
    ).to.deep.equal({ status: 422, says: true });
  });

  it("end there: no secret, no pod to write, no claim to write, no node to change", async () => {
    for (const [method, path] of [
      ["GET", "/api/v1/secrets"],
      ["GET", "/api/v1/namespaces/kube-system/configmaps"],
      ["GET", "/api/v1/pods"],
      ["DELETE", "/api/v1/namespaces/default/pods/x"],
      ["GET", "/api/v1/nodes"],
      ["PATCH", `/api/v1/nodes/${NODE_NAME}`],
      ["PATCH", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/x"],
      ["GET", "/apis/resource.k8s.io/v1/deviceclasses"],
    ] as const) {
      expect((await ask(method, path, method === "PATCH" ? {} : undefined)).status, `${method} ${path}`).to.equal(403);
    }
  });

  it("are the driver's alone: the agent's container has no token", async () => {
    const look = `try { require("fs").readdirSync("/var/run/secrets/kubernetes.io"); console.log("there"); } catch (e) { console.log(e.code); }`;
    expect((await world.inOwn("nri-agent", "/usr/bin/node", "-e", look)).trim()).to.equal("ENOENT");
  });
}
