import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { tar, type Member } from "./tar.ts";

/** Layout, manifest and configuration as in OCI image-spec v1.1. */
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";

export interface Layer {
  readonly mediaType: string;
  readonly blob: Buffer;
  /** Of the archive before it was compressed. */
  readonly diffId: string;
  readonly uncompressed: number;
  readonly says: string;
}

export interface Image {
  /** Whole name with its tag. */
  readonly reference: string;
  readonly layers: readonly Layer[];
  readonly architecture: "amd64" | "arm64";
  readonly created: string;
  readonly config: {
    readonly Entrypoint: readonly string[];
    readonly Cmd: readonly string[];
    readonly Env: readonly string[];
    readonly User: string;
    readonly WorkingDir: string;
    readonly Labels: Readonly<Record<string, string>>;
  };
}

export function layer(members: readonly Member[], says: string, compress: boolean): Layer {
  const archive = tar(members);
  return {
    mediaType: compress ? `${LAYER}+gzip` : LAYER,
    blob: compress ? gzipSync(archive, { level: 9 }) : archive,
    diffId: digestOf(archive),
    uncompressed: archive.length,
    says,
  };
}

/** One OCI layout as a tar archive with all images; a layer that they share is in it once. */
export function writeImages(path: string, images: readonly Image[]): void {
  const blobs = new Map<string, Buffer>();
  const put = (mediaType: string, data: Buffer): object => {
    const digest = digestOf(data);
    blobs.set(digest, data);
    return { mediaType, digest, size: data.length };
  };
  const manifests = images.map((image) => {
    const config = put(
      CONFIG,
      json({
        created: image.created,
        architecture: image.architecture,
        os: "linux",
        config: image.config,
        rootfs: { type: "layers", diff_ids: image.layers.map((one) => one.diffId) },
        history: image.layers.map((one) => ({ created: image.created, created_by: one.says })),
      }),
    );
    const layers = image.layers.map((one) => put(one.mediaType, one.blob));
    const manifest = json({ schemaVersion: 2, mediaType: MANIFEST, config, layers, annotations: image.config.Labels });
    return {
      ...put(MANIFEST, manifest),
      platform: { architecture: image.architecture, os: "linux" },
      // containerd takes the first, skopeo and others the second.
      annotations: {
        "io.containerd.image.name": image.reference,
        "org.opencontainers.image.ref.name": image.reference,
      },
    };
  });
  const file = (name: string, data: Buffer): Member => ({ name, mode: 0o644, type: "0", data });
  writeFileSync(
    path,
    tar([
      file("oci-layout", json({ imageLayoutVersion: "1.0.0" })),
      file("index.json", json({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests })),
      ...[...blobs].map(([digest, data]) => file(`blobs/${digest.replace(":", "/")}`, data)),
    ]),
  );
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function digestOf(data: Buffer): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}
