import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse } from "yaml";

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Tokens and certificates are renewed in their files; none is good for less than minutes. */
const FRESH_MS = 10_000;

/** What a request to the API server carries: TLS options of Node, and a token. */
export interface Pass {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
  readonly token?: string;
}

export interface Credentials {
  readonly server: URL;
  /** Read anew where they are in files. @throws Error with a sentence. */
  pass(): Pass;
}

/**
 * Those of a kubeconfig file, or of the pod's service account. Our own reading of both: the library for it costs more memory than the whole rest of the driver.
 *
 * @param kubeconfig a file; "" for those of the pod. @throws Error with a sentence.
 */
export function credentialsOf(kubeconfig: string, env: NodeJS.ProcessEnv = process.env): Credentials {
  return kubeconfig === "" ? ofThePod(env) : ofTheFile(kubeconfig);
}

function ofThePod(env: NodeJS.ProcessEnv): Credentials {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (host === undefined || host === "" || port === undefined) {
    throw new Error("Cannot find the API server: this process runs in no pod; name a file with --kubeconfig");
  }
  const server = new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`);
  const pass = fresh(() => ({ ca: file(`${SERVICE_ACCOUNT}/ca.crt`), token: file(`${SERVICE_ACCOUNT}/token`).trim() }));
  return { server, pass };
}

type Fields = Readonly<Record<string, unknown>>;

function ofTheFile(path: string): Credentials {
  const wrong = (why: string, cause?: unknown): Error =>
    new Error(`Cannot use the kubeconfig ${path}: ${why}`, cause === undefined ? {} : { cause });
  let config: Fields;
  try {
    config = fields(parse(readFileSync(path, "utf8")));
  } catch (cause) {
    throw wrong((cause as Error).message, cause);
  }
  const named = (list: string, name: unknown, what: string): Fields => {
    const all = Array.isArray(config[list]) ? (config[list] as unknown[]).map(fields) : [];
    const found = all.find((one) => one["name"] === name);
    if (found === undefined) throw wrong(`it names no ${what}${typeof name === "string" ? ` ${name}` : ""}`);
    return fields(found[what]);
  };
  const context = named("contexts", config["current-context"], "context");
  const cluster = named("clusters", context["cluster"], "cluster");
  const user = context["user"] === undefined || context["user"] === "" ? {} : named("users", context["user"], "user");
  const address = text(cluster["server"]) ?? "";
  if (!URL.canParse(address)) throw wrong("its cluster has no server with an address");
  for (const kind of ["exec", "auth-provider", "username"]) {
    if (user[kind] !== undefined)
      throw wrong(
        `its user has ${kind}, which this driver cannot use; it takes a token, a token's file, or a certificate`,
      );
  }
  if (cluster["proxy-url"] !== undefined) throw wrong("it has a proxy-url, which this driver cannot use");
  const at = (name: unknown): string | undefined =>
    typeof name === "string" && name !== "" ? file(resolve(dirname(path), name)) : undefined;
  const data = (of: Fields, key: string): string | undefined => {
    const inline = text(of[`${key}-data`]);
    return inline === undefined ? at(of[key]) : Buffer.from(inline, "base64").toString("utf8");
  };
  const pass = fresh(() => ({
    ...given("ca", data(cluster, "certificate-authority")),
    ...given("cert", data(user, "client-certificate")),
    ...given("key", data(user, "client-key")),
    ...given("servername", text(cluster["tls-server-name"])),
    ...(cluster["insecure-skip-tls-verify"] === true ? { rejectUnauthorized: false } : {}),
    ...given("token", at(user["tokenFile"])?.trim() ?? text(user["token"])),
  }));
  return { server: new URL(address), pass };
}

function fresh(read: () => Pass): () => Pass {
  let kept: Pass | undefined;
  let until = 0;
  return () => {
    if (kept !== undefined && performance.now() < until) return kept;
    kept = read();
    until = performance.now() + FRESH_MS;
    return kept;
  };
}

function file(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Error(`Cannot read the credentials ${path}: ${(cause as Error).message}`, { cause });
  }
}

function given<K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined || value === "" ? {} : ({ [key]: value } as Partial<Record<K, string>>);
}

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
