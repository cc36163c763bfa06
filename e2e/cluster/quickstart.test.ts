import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { binary } from "../build/build.ts";
import { IMAGE } from "../kit/image/image.ts";
import { world } from "./suite.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const FILE = join(ROOT, "docs", "quickstart.md");

/** Without what differs from one time to the next; now and then helm's client library logs that a watch of its own has ended. */
function settled(text: string): string {
  return text
    .replaceAll(/^[IW]\d{4} .* reflector\.go:\d+\] .*\n/gm, "")
    .replaceAll(/-[bcdfghjklmnpqrstvwxz2456789]{5}\b/g, "-xxxxx")
    .replaceAll(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b/g, "<uid>")
    .replaceAll(/\b\d+(m\d+)?m?s\b/g, "<time>")
    .replaceAll(/(epoch|revision) \d+/g, "$1 N")
    .replaceAll(/[ \t]+/g, " ");
}

describe("the quick start", function () {
  this.timeout(180_000);
  const { node } = world;
  /** As a person in the root of the sources, with kubectl and helm on the path. Where nobody has an image of that name, the test image serves. */
  const type = async (command: string): Promise<string> => {
    const path = [dirname(binary("kube", "kubectl")), dirname(binary("helm", "helm"))].join(":");
    const line = command.replaceAll(/-f (examples\/\S+)/g, `-f - < <(sed 's#image: busybox#image: ${IMAGE}#' $1)`);
    const script = `export PATH=${path}:$PATH KUBECONFIG=${node.kubeconfig}; cd ${ROOT} && { ${line}\n} 2>&1`;
    return (await node.run("bash", ["-c", script])).trimEnd();
  };

  // `DRACPU_WRITE=1 npm run e2e quickstart` writes what is seen into the document.
  it("gives on a real cluster what it says", async () => {
    const text = readFileSync(FILE, "utf8");
    const seen: string[] = [];
    const said: string[] = [];
    let written = "";
    let end = 0;
    for (const match of text.matchAll(/```console\n([\s\S]*?)```/g)) {
      const commands = (match[1] ?? "").split("\n").filter((line) => line.startsWith("$ "));
      const blocks: string[] = [];
      for (const line of commands) blocks.push(`${line}\n${await type(line.slice(2))}`.trimEnd());
      said.push((match[1] ?? "").trimEnd());
      seen.push(blocks.join("\n"));
      written += `${text.slice(end, match.index)}\`\`\`console\n${blocks.join("\n")}\n\`\`\``;
      end = match.index + match[0].length;
    }
    if (process.env["DRACPU_WRITE"] !== undefined) writeFileSync(FILE, written + text.slice(end));
    else expect(seen.map(settled)).to.deep.equal(said.map(settled));
  });
});
