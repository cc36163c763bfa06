import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { expect } from "chai";
import { binary } from "../build/build.ts";
import { IMAGE } from "../kit/image/image.ts";
import { world } from "./suite.ts";
import { REPOSITORY } from "./world.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const FILE = join(ROOT, "docs", "quickstart.md");

/** Without what differs from one time to the next; now and then helm's client library logs that a watch of its own has ended. */
function settled(text: string): string {
  return text
    .replaceAll(/^[IW]\d{4} .* reflector\.go:\d+\] .*\n/gm, "")
    .replaceAll(/-[bcdfghjklmnpqrstvwxz2456789]{5}\b/g, "-xxxxx")
    .replaceAll(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b/g, "<uid>")
    .replaceAll(/\b\d+(m\d+)?m?s\b/g, "<time>")
    .replaceAll(/\bsha256:[0-9a-f]{64}\b/g, "<digest>")
    .replaceAll(/^LAST DEPLOYED: .*$/gm, "LAST DEPLOYED: <time>")
    .replaceAll(/\b\d+\.\d+ (s|MB|B|MiB)\b/g, "N $1")
    .replaceAll(/(epoch|revision) \d+/g, "$1 N")
    .replaceAll(/[ \t]+/g, " ");
}

describe("the quick start", function () {
  this.timeout(180_000);
  const { node } = world;
  const ctr = binary("containerd", "ctr");

  // So that the images are there by the commands alone.
  before(async () => {
    const images = ["driver", "nri-agent"].map((name) => `${REPOSITORY}/${name}:${VERSION}`);
    await node.run(ctr, ["-a", node.criSocket, "-n", "k8s.io", "images", "rm", "--sync", ...images]);
  });

  /** As a person in the root of the sources, with kubectl, helm and ctr on the path. Where nobody has an image of that name, the test image serves. */
  const type = async (command: string): Promise<string> => {
    const path = [binary("kube", "kubectl"), binary("helm", "helm"), ctr].map((one) => dirname(one)).join(":");
    const line = command.replaceAll(/-f (examples\/\S+)/g, `-f - < <(sed 's#image: busybox#image: ${IMAGE}#' $1)`);
    const typed = `cd ${ROOT} && { ${line}\n} 2>&1 || echo "exit status $?"`;
    // The node has no packages, from which images are built.
    if (command.startsWith("npm ")) return builds(typed);
    const script = `export PATH=${path}:$PATH KUBECONFIG=${node.kubeconfig} CONTAINERD_ADDRESS=${node.criSocket}; ${typed}`;
    return (
      (await node.run("bash", ["-c", script]))
        // Of this node's cgroup v1.
        .replaceAll(/^time="[^"]*" level=warning .*\n/gm, "")
        // What the chart says in its notes is for the reader of a terminal.
        .replace(/^NOTES:\n[^]*/m, "NOTES:\n...")
        .trimEnd()
    );
  };
  const builds = async (script: string): Promise<string> => {
    return (await promisify(execFile)("bash", ["-c", script])).stdout.trimEnd();
  };

  /** Reads once more what a slow machine has not come to yet, and says so; what changes something is typed once. */
  const typeUntil = async (command: string, said: string): Promise<string> => {
    const reads = /^kubectl (--namespace \S+ )?(get|logs|exec)\b/.test(command);
    for (let times = 1; ; times++) {
      const block = `$ ${command}\n${await type(command)}`.trimEnd();
      if (settled(block) === settled(said) || !reads || times === 10) return block;
      console.log(`      not yet: ${block}`);
      await setTimeout(1000);
    }
  };

  // `DRACPU_WRITE=1 npm run e2e quickstart` writes what is seen into the document.
  it("gives on a real cluster what it says", async () => {
    const text = readFileSync(FILE, "utf8");
    const seen: string[] = [];
    const said: string[] = [];
    let written = "";
    let end = 0;
    for (const match of text.matchAll(/```console\n([\s\S]*?)```/g)) {
      const typed = (match[1] ?? "").trimEnd().split(/\n(?=\$ )/);
      const blocks: string[] = [];
      for (const one of typed) blocks.push(await typeUntil(/^\$ (.*)/.exec(one)?.[1] ?? "", one));
      said.push(...typed);
      seen.push(...blocks);
      written += `${text.slice(end, match.index)}\`\`\`console\n${blocks.join("\n")}\n\`\`\``;
      end = match.index + match[0].length;
    }
    if (process.env["DRACPU_WRITE"] !== undefined) writeFileSync(FILE, written + text.slice(end));
    else {
      // Whole, where chai would shorten it: the one line that differs is what a reader of CI's output needs.
      const other = seen.findIndex((block, i) => settled(block) !== settled(said[i] ?? ""));
      expect(other, `seen:\n${seen[other]}\nthe document says:\n${said[other]}\n`).to.equal(-1);
    }
  });
});
