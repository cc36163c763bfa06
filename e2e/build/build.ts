import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cacheDir } from "./cache.ts";
import { kubeOf, PRODUCTS, type Product } from "./products.ts";

const HERE = import.meta.dirname;

/** Path of a built binary. `$DRACPU_KUBE` names another minor version of Kubernetes. @throws Error with what to do where it was not built yet. */
export function binary(wanted: string, name: string): string {
  const product = wanted === "kube" ? kubeOf(process.env["DRACPU_KUBE"]) : wanted;
  const path = join(productDir(find(product)), name);
  if (!existsSync(path))
    throw new Error(`${name} of ${product} is not built yet; run: node e2e/build/build.ts ${product}`);
  return path;
}

export function productDir(product: Product): string {
  const hash = createHash("sha256");
  hash.update(readFileSync(join(HERE, product.name, "go.mod")));
  hash.update(readFileSync(join(HERE, product.name, "go.sum")));
  hash.update(JSON.stringify([product, process.arch, goVersion()]));
  return join(cacheDir(), `${product.name}-${hash.digest("hex").slice(0, 16)}`);
}

function find(name: string): Product {
  const product = PRODUCTS.find((one) => one.name === name);
  if (product === undefined)
    throw new Error(`There is no product ${name}; there are ${PRODUCTS.map((one) => one.name).join(", ")}`);
  return product;
}

let version: string | undefined;
function goVersion(): string {
  version ??= execFileSync("go", ["env", "GOVERSION"], { encoding: "utf8" }).trim();
  return version;
}

function go(product: Product, args: readonly string[]): void {
  const result = spawnSync("go", args, {
    cwd: join(HERE, product.name),
    env: {
      ...process.env,
      GOFLAGS: "-mod=readonly -buildvcs=false",
      CGO_ENABLED: product.cgo === true ? "1" : "0",
      GOWORK: "off",
    },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (result.status !== 0) throw new Error(`go ${args[0] ?? ""} of ${product.name} failed`);
}

/** Builds a product where the cache lacks it; whole or not at all. */
function build(product: Product): void {
  const target = productDir(product);
  if (existsSync(target)) return;
  mkdirSync(cacheDir(), { recursive: true });
  const temporary = mkdtempSync(join(cacheDir(), `.${product.name}-`));
  const began = Date.now();
  try {
    for (const [name, path] of Object.entries(product.binaries)) {
      const tags = product.tags === undefined ? [] : ["-tags", product.tags];
      go(product, [
        "build",
        "-trimpath",
        ...tags,
        "-ldflags",
        `-s -w ${product.ldflags ?? ""}`.trim(),
        "-o",
        join(temporary, name),
        path,
      ]);
    }
    renameSync(temporary, target);
  } catch (cause) {
    rmSync(temporary, { recursive: true, force: true });
    // Somebody else may have built it meanwhile.
    if (!existsSync(target)) throw cause;
  }
  console.log(`built ${product.name} in ${Math.round((Date.now() - began) / 1000)} s`);
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  const names = args.filter((arg) => !arg.startsWith("--"));
  const wanted = names.length === 0 ? PRODUCTS.filter((one) => one.onlyByName !== true) : names.map(find);
  for (const product of wanted) {
    if (args.includes("--download-only")) go(product, ["mod", "download"]);
    else build(product);
  }
}
