import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { credentialsOf } from "../../src/apiserver/credentials.ts";

const BASE64 = Buffer.from("CERT").toString("base64");

describe("credentials for the API server", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "cr-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const config = (cluster: object, user: object, more: object = {}): string => {
    const path = join(dir, "config");
    const whole = {
      clusters: [{ name: "other" }, { name: "c", cluster: { server: "https://api.example.com:6443", ...cluster } }],
      users: [{ name: "u", user }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
      ...more,
    };
    writeFileSync(path, JSON.stringify(whole));
    return path;
  };

  it("are those of the current context: inline, and in files beside the kubeconfig", () => {
    for (const name of ["ca.crt", "client.crt", "client.key"]) writeFileSync(join(dir, name), name);
    writeFileSync(join(dir, "token"), "secret\n");
    const inFiles = credentialsOf(
      config(
        { "certificate-authority": "ca.crt", "tls-server-name": "kubernetes" },
        { "client-certificate": join(dir, "client.crt"), "client-key": "client.key", tokenFile: "token" },
      ),
    );
    expect(inFiles.server.href).to.equal("https://api.example.com:6443/");
    expect(inFiles.pass()).to.deep.equal({
      ca: "ca.crt",
      cert: "client.crt",
      key: "client.key",
      servername: "kubernetes",
      token: "secret",
    });
    const inline = credentialsOf(
      config({ "certificate-authority-data": BASE64, "insecure-skip-tls-verify": true }, { token: "t" }),
    );
    expect(inline.pass()).to.deep.equal({ ca: "CERT", rejectUnauthorized: false, token: "t" });
  });

  it("are refused in words where they are of a kind that cannot be used, or are not there", () => {
    expect(() => credentialsOf(config({}, { exec: { command: "aws" } }))).to.throw("its user has exec");
    expect(() => credentialsOf(config({ "proxy-url": "http://x" }, {}))).to.throw("proxy-url");
    expect(() => credentialsOf(config({ server: "no address" }, {}))).to.throw("no server with an address");
    expect(() => credentialsOf(config({}, {}, { "current-context": "y" }))).to.throw("it names no context y");
    expect(() => credentialsOf(join(dir, "none"))).to.throw("ENOENT");
    expect(() => credentialsOf(config({}, { tokenFile: "gone" })).pass()).to.throw("Cannot read the credentials");
    expect(() => credentialsOf("", {})).to.throw("this process runs in no pod");
  });

  it("of a pod are for the address that its environment tells, IPv6 too", () => {
    const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
    expect(credentialsOf("", env).server.hostname).to.equal("[fd00::1]");
  });
});
