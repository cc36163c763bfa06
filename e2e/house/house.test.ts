import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect } from "chai";
import { EXCEPTIONS, FOR_USE_CASES, PURE_LIBRARIES, ROOMS, type Kind } from "./rooms.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** Longest file; the few that may be longer, with what they may have. They only shrink. */
const MAX_LINES = 300;
const LONGER: Readonly<Record<string, number>> = {};

const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((path) => path !== "" && existsSync(join(ROOT, path)));
const own = tracked.filter((path) => path.endsWith(".ts") && !path.includes("/gen/"));
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

interface Import {
  readonly from: string;
  readonly target: string;
  readonly typeOnly: boolean;
}

function importsOf(path: string): Import[] {
  return [...read(path).matchAll(/^(?:import|export)\s+(type\s+)?[^;]*?from\s+"([^"]+)";/gms)].map((m) => ({
    from: path,
    target: m[2] ?? "",
    typeOnly: m[1] !== undefined,
  }));
}

/** `driver/prepare`, `driver/compose`, `node:fs`, a library's name. */
function roomOf(path: string, target: string): string {
  const full = target.startsWith(".")
    ? relative(ROOT, resolve(ROOT, dirname(path), target))
    : target.startsWith("@dracpu/")
      ? target.replace("@dracpu/", "").replace("/", "/src/")
      : "";
  if (full === "") return target;
  const m = /^([a-z-]+)\/src\/([a-z]+)(?:\/|\.ts$)/.exec(full);
  return m === null ? full : `${m[1] ?? ""}/${m[2] ?? ""}`;
}

function kindOf(room: string): Kind | undefined {
  const [pack = "", name = ""] = room.split("/");
  return name === "compose" || name === "main" ? name : ROOMS[pack]?.[name];
}

describe("the house", () => {
  const sources = own.filter((path) => /^(shared-proto|driver|nri-agent)\/src\//.test(path));

  it("knows every room", () => {
    const unknown = sources.filter((path) => kindOf(roomOf(path, `./${path.split("/").pop() ?? ""}`)) === undefined);
    expect(unknown).to.deep.equal([]);
  });

  it("has every room in the table for people, under its kind", () => {
    const table = [...read("CONTRIBUTING.md").matchAll(/^\| `([a-z-]+)\/src` \|(.*)\|$/gm)];
    const names = (cell = ""): string[] => [...cell.matchAll(/`([a-z]+)`/g)].map(([, name = ""]) => name).toSorted();
    const said = table.map(([, pack, cells = ""]) => [pack, ...cells.split("|").map(names)]);
    const wanted = Object.entries(ROOMS).map(([pack, rooms]) => [
      pack,
      ...["pure", "use-case", "edge"].map((kind) =>
        Object.keys(rooms)
          .filter((name) => rooms[name] === kind)
          .toSorted(),
      ),
    ]);
    expect(said).to.deep.equal(wanted);
  });

  it("imports in one direction only", () => {
    const wrong: string[] = [];
    for (const one of sources.flatMap(importsOf)) {
      const from = roomOf(one.from, `./${one.from.split("/").pop() ?? ""}`);
      const to = roomOf(one.from, one.target);
      if (
        from === to ||
        to.endsWith("/gen") ||
        to === "shared-proto/cpuset" ||
        EXCEPTIONS[`${from} -> ${to}`] !== undefined
      )
        continue;
      const why = forbidden(from, to, one.typeOnly);
      if (why !== undefined) wrong.push(`${one.from} imports ${one.target}: ${why}`);
    }
    expect(wrong).to.deep.equal([]);
  });

  it("keeps pure rooms pure", () => {
    const impure =
      /\b(Date\.now|Math\.random|setTimeout|setInterval|setImmediate|process\.(?:env|exit|pid|stdout|argv)|performance\.now|fetch\()/;
    const wrong = sources.filter(
      (path) => kindOf(roomOf(path, `./${path.split("/").pop() ?? ""}`)) === "pure" && impure.test(read(path)),
    );
    expect(wrong).to.deep.equal([]);
  });

  it("names files after what they are", () => {
    const bad = tracked.filter((path) => /(^|\/)(utils?|helpers?|common|manager|misc)(\.|\/)/i.test(path));
    const odd = own.filter((path) => !/^[a-z0-9./-]+$/.test(path));
    expect([...bad, ...odd]).to.deep.equal([]);
  });

  it("keeps files short", () => {
    const long = own.filter((path) => read(path).split("\n").length - 1 > (LONGER[path] ?? MAX_LINES));
    expect(long).to.deep.equal([]);
  });

  it("speaks of the product only", () => {
    const words =
      /(\/work\/(main|shared)|\/root\/|issue #\d|\bTODO\b|\bFIXME\b|@ts-ignore|@ts-nocheck|\b(describe|it)\.only\()/;
    const wrong = tracked.filter(
      (path) =>
        /\.(ts|md|sh|json|ya?ml|proto)$/.test(path) && !path.startsWith("e2e/house/") && !path.includes("package-lock"),
    );
    expect(wrong.filter((path) => words.test(read(path)))).to.deep.equal([]);
  });

  it("locks dependencies without addresses, and gives a reason for each that runs", () => {
    const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, { resolved?: string }> };
    expect(Object.values(lock.packages).filter((one) => one.resolved?.includes("://") === true)).to.deep.equal([]);
    const reasons = readdirSync(join(ROOT, "docs/adr"))
      .map((name) => read(`docs/adr/${name}`))
      .join("\n");
    const missing = ["shared-proto", "driver", "nri-agent"].flatMap((name) => {
      const { dependencies } = JSON.parse(read(`${name}/package.json`)) as { dependencies: Record<string, string> };
      return Object.keys(dependencies).filter((one) => !one.startsWith("@dracpu/") && !reasons.includes(`\`${one}\``));
    });
    expect(missing).to.deep.equal([]);
  });

  it("has one version", () => {
    const version = /VERSION = "([^"]+)"/.exec(read("shared-proto/src/contract/version.ts"))?.[1];
    for (const path of ["package.json", "driver/package.json", "nri-agent/package.json", "shared-proto/package.json"]) {
      expect((JSON.parse(read(path)) as { version: string }).version, path).to.equal(version);
    }
  });
});

function forbidden(from: string, to: string, typeOnly: boolean): string | undefined {
  const kind = kindOf(from);
  const target = kindOf(to);
  const [pack] = from.split("/");
  const [targetPack] = to.split("/");
  if (kind === "main" || kind === "compose")
    return targetPack === "driver" || targetPack === "nri-agent"
      ? targetPack === pack
        ? undefined
        : "the other program"
      : undefined;
  if (target === undefined) {
    if (kind === "pure") return PURE_LIBRARIES.includes(to) ? undefined : "a pure room touches nothing";
    if (kind === "use-case")
      return to === "@bufbuild/protobuf" ? undefined : "a use case reaches outside through its ports";
    return undefined;
  }
  if (target === "compose" || target === "main") return "only compose.ts and main.ts tie things together";
  if (targetPack !== "shared-proto" && targetPack !== pack) return "the other program";
  if (kind === "pure") return target === "pure" ? undefined : "a pure room imports pure rooms only";
  if (kind === "use-case") {
    return target === "edge" && !FOR_USE_CASES.includes(to) && !typeOnly
      ? "a use case owns ports, and imports no edge"
      : undefined;
  }
  return target === "edge" && targetPack === pack ? "edges meet in compose.ts" : undefined;
}
