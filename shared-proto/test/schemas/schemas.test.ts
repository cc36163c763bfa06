import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ScalarType, type DescField, type DescFile } from "@bufbuild/protobuf";
import { file_kubelet_dra_health_v1alpha1 } from "@dracpu/shared-proto/gen/kubelet/dra_health_v1alpha1_pb.ts";
import { file_kubelet_dra_v1 } from "@dracpu/shared-proto/gen/kubelet/dra_v1_pb.ts";
import { file_kubelet_podresources_v1 } from "@dracpu/shared-proto/gen/kubelet/podresources_v1_pb.ts";
import { file_kubelet_pluginregistration_v1 } from "@dracpu/shared-proto/gen/kubelet/pluginregistration_v1_pb.ts";
import { file_nri_api } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { file_ttrpc_ttrpc } from "@dracpu/shared-proto/gen/ttrpc/ttrpc_pb.ts";
import { expect } from "chai";

/** What the real files say: `Message.field` to `label type = number`, `Enum.VALUE` to number, `Service.Method` to `Input -> Output`. */
type Facts = Map<string, string>;

function parse(text: string): Facts {
  const facts: Facts = new Map();
  const scopes: { kind: string; name: string }[] = [];
  for (const statement of text
    .replace(/\/\/.*$/gm, "")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/\[[^\]]*\]/g, "")
    .match(/[^;{}]+[;{]|\}/g) ?? []) {
    const line = statement.replace(/\s+/g, " ").trim();
    const open = /^(message|enum|service|oneof|rpc) ?(\w+)?.*\{$/.exec(line);
    const scope = scopes.filter((one) => one.kind !== "oneof");
    const name = scope.map((one) => one.name).join(".");
    if (line === "}") scopes.pop();
    else if (open !== null && open[1] !== "rpc") scopes.push({ kind: open[1] ?? "", name: open[2] ?? "" });
    const kind = scope.at(-1)?.kind;
    const rpc = /^rpc (\w+) ?\( ?(stream )?([\w.]+) ?\) returns ?\( ?(stream )?([\w.]+) ?\)/.exec(line);
    if (kind === "service" && rpc !== null) {
      facts.set(`${name}.${rpc[1] ?? ""}`, `${rpc[2] ?? ""}${rpc[3] ?? ""} -> ${rpc[4] ?? ""}${rpc[5] ?? ""}`);
      if (line.endsWith("{")) scopes.push({ kind: "rpc", name: "" });
    }
    const field = /^(repeated |optional )?(map ?< ?\w+ ?, ?[\w.]+ ?>|[\w.]+) (\w+) ?= ?(\d+) ?;$/.exec(line);
    if (kind === "message" && field !== null) {
      facts.set(
        `${name}.${field[3] ?? ""}`,
        `${field[1] ?? ""}${(field[2] ?? "").replaceAll(" ", "")} = ${field[4] ?? ""}`,
      );
    }
    const value = /^(\w+) ?= ?(\d+) ?;$/.exec(line);
    if (kind === "enum" && value !== null) facts.set(`${name}.${value[1] ?? ""}`, value[2] ?? "");
  }
  return facts;
}

const SCALARS: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(ScalarType).map(([name, value]) => [value, name.toLowerCase()]),
);

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case "scalar":
      return SCALARS[field.scalar] ?? "";
    case "message":
      return field.message.name;
    case "enum":
      return field.enum.name;
    case "list":
      return field.listKind === "scalar"
        ? (SCALARS[field.scalar] ?? "")
        : field.listKind === "message"
          ? field.message.name
          : field.enum.name;
    case "map":
      return `map<${SCALARS[field.mapKey] ?? ""},${field.mapKind === "scalar" ? (SCALARS[field.scalar] ?? "") : field.mapKind === "message" ? field.message.name : field.enum.name}>`;
  }
}

/** The fields of one message from its Go struct's tags. */
function statusTags(text: string): Facts {
  const fields = text.matchAll(/^\s+\w+\s+(\w+)\s+`protobuf:"\w+,(\d+),opt,name=(\w+),proto3"/gm);
  return new Map(
    [...fields].map(([, type, number, name]) => [`Status.${name ?? ""}`, `${type ?? ""} = ${number ?? ""}`]),
  );
}

/** What our trimmed schema says, in the same words. */
function ours(file: DescFile): Facts {
  const facts: Facts = new Map();
  for (const message of file.messages) {
    for (const field of message.fields) {
      const label = field.fieldKind === "list" ? "repeated " : field.proto.proto3Optional ? "optional " : "";
      facts.set(`${message.name}.${field.name}`, `${label}${typeOf(field)} = ${field.number}`);
    }
  }
  for (const one of file.enums)
    for (const value of one.values) facts.set(`${one.name}.${value.name}`, String(value.number));
  for (const service of file.services) {
    for (const method of service.methods) {
      const stream = method.methodKind === "server_streaming" ? "stream " : "";
      facts.set(`${service.name}.${method.name}`, `${method.input.name} -> ${stream}${method.output.name}`);
    }
  }
  return facts;
}

function moduleCache(): string | undefined {
  try {
    return execFileSync("go", ["env", "GOMODCACHE"], { encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}

/** google.rpc.Status, which modules have as generated code only. */
const STATUS = "google.golang.org/genproto/googleapis/rpc@v0.0.0-20251029180050-ab9386a59fda/status/status.pb.go";

describe("trimmed schemas of foreign protocols", () => {
  const cache = moduleCache();
  for (const [file, path, service, ...more] of [
    [file_nri_api, "github.com/containerd/nri@v0.12.3/pkg/api/api.proto", "nri.pkg.api.v1alpha1"],
    [file_kubelet_dra_v1, "k8s.io/kubelet@v0.36.3/pkg/apis/dra/v1/api.proto", "k8s.io.kubelet.pkg.apis.dra.v1"],
    [
      file_kubelet_pluginregistration_v1,
      "k8s.io/kubelet@v0.36.3/pkg/apis/pluginregistration/v1/api.proto",
      "pluginregistration",
    ],
    [file_kubelet_podresources_v1, "k8s.io/kubelet@v0.36.3/pkg/apis/podresources/v1/api.proto", "v1"],
    [file_kubelet_dra_health_v1alpha1, "k8s.io/kubelet@v0.36.3/pkg/apis/dra-health/v1alpha1/api.proto", "v1alpha1"],
    [file_ttrpc_ttrpc, "github.com/containerd/ttrpc@v1.2.7/request.proto", "ttrpc", STATUS],
  ] as const) {
    it(`say what ${path} says`, function () {
      const files = [path, ...more].map((one) => join(cache ?? "/nowhere", one));
      const missing = files.find((one) => !existsSync(one));
      if (missing !== undefined) {
        if (process.env["CI"] !== undefined) throw new Error(`${missing} is not there; download the Go modules first`);
        console.log(
          `      skipped: Go's module cache lacks ${missing}; node e2e/build/build.ts --download-only brings it`,
        );
        this.skip();
      }
      const [text = "", ...structs] = files.map((one) => readFileSync(one, "utf8"));
      const theirs = new Map([...parse(text), ...structs.flatMap((one) => [...statusTags(one)])]);
      expect(/^package ([\w.]+);/m.exec(text)?.[1]).to.equal(service);
      const facts = ours(file);
      expect(facts.size).to.be.at.least(2);
      const wrong = [...facts].filter(([name, fact]) => theirs.get(name) !== fact);
      expect(
        wrong.map(([name, fact]) => `${name}: ours ${fact}, theirs ${theirs.get(name) ?? "nothing"}`),
      ).to.deep.equal([]);
    });
  }
});
