import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { extract, pack } from "tar-stream";

/** Changes when a field changes its meaning or goes; new fields do not change it. */
export const GATHER_LAYOUT = "gather.dra.cpu/v1";

export interface Piece {
  readonly name: string;
  /** What it is, for people. */
  readonly what: string;
  readonly text: string;
}

/** Writes the pieces as a gzipped tar, with a manifest of what is there and what could not be had. */
export async function writeArchive(
  out: Writable,
  about: Readonly<Record<string, unknown>>,
  pieces: readonly Piece[],
  missing: readonly { readonly name: string; readonly why: string }[],
): Promise<void> {
  const manifest = {
    layout: GATHER_LAYOUT,
    ...about,
    files: pieces.map(({ name, what, text }) => ({
      name,
      what,
      bytes: Buffer.byteLength(text),
      sha256: createHash("sha256").update(text).digest("hex"),
    })),
    missing,
  };
  const archive = pack();
  const written = pipeline(archive, createGzip(), out);
  archive.entry({ name: "MANIFEST.json" }, `${JSON.stringify(manifest, undefined, 2)}\n`);
  for (const { name, text } of pieces) archive.entry({ name }, text);
  archive.finalize();
  await written;
}

/** One file of an archive; `undefined` where it is not in there. @throws Error where it is no archive. */
export async function readFromArchive(path: string, name: string): Promise<string | undefined> {
  let found: string | undefined;
  const archive = extract();
  archive.on("entry", (header, stream, next) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: unknown) => {
      if (header.name === name) chunks.push(chunk as Buffer);
    });
    stream.on("end", () => {
      if (header.name === name) found = Buffer.concat(chunks).toString("utf8");
      next();
    });
    stream.resume();
  });
  await pipeline(createReadStream(path), createGunzip(), archive);
  return found;
}
