import { readFile } from "node:fs/promises";
import { create, fromBinary, type DescMessage, type Message } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import {
  FileDescriptorProtoSchema,
  file_google_protobuf_descriptor,
  UninterpretedOptionSchema,
} from "@bufbuild/protobuf/wkt";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import type { Plugin } from "esbuild";

/** What no compiler leaves uninterpreted has numbers that JSON has not. */
const SCHEMAS = [...nestedTypes(file_google_protobuf_descriptor)].filter(
  (one) => one.kind === "message" && one !== UninterpretedOptionSchema,
) as DescMessage[];
const READ = "fromBinary(FileDescriptorProtoSchema, base64Decode(b64))";

/**
 * Generated code holds its descriptors in their own binary form. To read that the library first makes the descriptors of descriptors, 15 ms of each start or more. In a bundle
 * they are JSON instead, which needs none of these.
 */
export const READ_DESCRIPTORS: Plugin = {
  name: "read-descriptors",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/@bufbuild\/protobuf\/dist\/esm\/codegenv2\/file\.js$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      if (!text.includes(READ)) throw new Error(`${path} reads descriptors in another way`);
      return { contents: `${REVIVE}\n${text.replace(READ, "revive(JSON.parse(b64))")}` };
    });
    onLoad({ filter: /_pb\.(ts|js)$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      const contents = text.replace(/(?<=\bfileDesc\()"[^"]*"/, (literal) => asJson(JSON.parse(literal) as string));
      return { contents, loader: path.endsWith(".ts") ? "ts" : "js" };
    });
  },
};

/** What a message does not say is in its prototype, and lists are there though they are empty. */
const REVIVE = `
const DEFAULTS = ${JSON.stringify(Object.fromEntries(SCHEMAS.map((one) => [one.typeName, Object.getPrototypeOf(create(one)) as object])))};
const LISTS = ${JSON.stringify(Object.fromEntries(SCHEMAS.map((one) => [one.typeName, listsOf(create(one))])))};
const revive = (value) => {
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value !== "object") return value;
  const message = Object.create(DEFAULTS[value.$typeName]);
  for (const list of LISTS[value.$typeName]) message[list] = [];
  for (const key in value) message[key] = revive(value[key]);
  return message;
};`;

function listsOf(message: Message): string[] {
  return Object.entries(message).flatMap(([key, value]) => (Array.isArray(value) ? [key] : []));
}

function asJson(base64: string): string {
  const file = fromBinary(FileDescriptorProtoSchema, base64Decode(base64));
  const text = JSON.stringify(file, (key, value: unknown) => {
    if (key === "$unknown") throw new Error(`${file.name} has options that are not known here`);
    return Array.isArray(value) && value.length === 0 ? undefined : value;
  });
  return JSON.stringify(text);
}
