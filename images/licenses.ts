import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Metafile } from "esbuild";
import type { Part } from "./base.ts";
import { bundledPackages } from "./sbom.ts";

const ROOT = join(import.meta.dirname, "..");
const DEBIAN = "/usr/share";

/** Copyright notices and licences of the npm packages in a bundle; a text that several have is there once. */
export function bundledLicenses(metafile: Metafile): string {
  const texts = new Map<string, string[]>();
  for (const { name, version, license, dir, files } of bundledPackages(metafile)) {
    const found = readdirSync(join(ROOT, dir))
      .filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
      .map((file) => readFileSync(join(ROOT, dir, file), "utf8"));
    // Some say it in their sources alone, which the bundle has without comments.
    const said = found.length > 0 ? found : files.map((file) => headOf(readFileSync(join(ROOT, file), "utf8")));
    const whole = said.map((text) => text.trim()).filter((text) => /copyright|licen[cs]e/i.test(text));
    if (whole.length === 0)
      throw new Error(`Cannot tell the licence of ${name}: it has no file of it, and its sources say none`);
    for (const text of new Set(whole)) texts.set(text, [...(texts.get(text) ?? []), `${name} ${version} (${license})`]);
  }
  return joined(texts);
}

/** Likewise of Debian's packages, with the licences that their own words name as files. */
export function debianLicenses(parts: readonly Part[]): string {
  const texts = new Map<string, string[]>();
  const add = (path: string, of: string): void => {
    if (!existsSync(path)) throw new Error(`Cannot tell the licence of ${of}: there is no ${path}`);
    const text = readFileSync(path, "utf8").trim();
    texts.set(text, [...new Set([...(texts.get(text) ?? []), of])]);
  };
  for (const { name, version } of parts) add(`${DEBIAN}/doc/${name}/copyright`, `${name} ${version}`);
  for (const { license } of parts) {
    const named = /^(L?GPL-\d(?:\.[1-9])?)/.exec(license)?.[1] ?? license;
    add(`${DEBIAN}/common-licenses/${named}`, named);
  }
  return joined(texts);
}

/** The comment that a source begins with, without its marks. */
function headOf(source: string): string {
  const [block = ""] =
    /^(?:\s*\/\/.*\n|\s*\/\*[\s\S]*?\*\/\s*\n)+/.exec(source.replace(/^["']use strict["'];\n/, "")) ?? [];
  return block.replaceAll(/^\s*(?:\/\/|\/?\*+\/?) ?/gm, "");
}

function joined(texts: ReadonlyMap<string, readonly string[]>): string {
  const rule = "=".repeat(80);
  return [...texts].map(([text, names]) => `${rule}\n${names.join("\n")}\n${rule}\n\n${text}\n`).join("\n");
}
