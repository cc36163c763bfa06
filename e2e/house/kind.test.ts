import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { expect } from "chai";
import { parse } from "yaml";

const KIND = join(import.meta.dirname, "..", "..", "examples", "kind");
const IMAGES = ["driver", "nri-agent"].map((name) => `localhost/dra-driver-cpu/${name}:${VERSION}`);

describe("the kind example", () => {
  it("builds both images by Docker alone, under the names that the chart has, and loads these", () => {
    const dir = mkdtempSync(join(tmpdir(), "kind-"));
    try {
      const log = join(dir, "log");
      // Neither npm nor dpkg-query nor anything else of this machine.
      for (const name of ["docker", "kind", "helm"])
        writeFileSync(join(dir, name), `#!/bin/sh\necho ${name} "$@" >> ${log}\n`, { mode: 0o755 });
      const tools = ["bash", "sed", "git", "dirname"].map((one) =>
        execFileSync("which", [one], { encoding: "utf8" }).trim(),
      );
      for (const path of tools) execFileSync("ln", ["-s", path, dir]);
      execFileSync(join(dir, "bash"), [join(KIND, "up.sh")], { env: { PATH: dir, HOME: homedir() } });
      const ran = readFileSync(log, "utf8").split("\n");
      const stages = [...readFileSync(join(KIND, "../../images/Dockerfile"), "utf8").matchAll(/^FROM .* AS (\S+)$/gm)];
      for (const [n, image] of IMAGES.entries()) {
        const [, target = "", tag] =
          /^docker build -f images\/Dockerfile --target (\S+) -t (\S+) /.exec(ran[n] ?? "") ?? [];
        expect(stages.map(([, name]) => name)).to.include(target);
        expect(tag).to.equal(image);
        expect(ran[n]).to.match(new RegExp(`TAG=${VERSION} .*REVISION=[0-9a-f]{40} .*SOURCE_DATE_EPOCH=\\d{10} \\.$`));
      }
      expect(ran.slice(2).filter((line) => line.startsWith("kind"))).to.deep.equal([
        "kind create cluster --name dra-cpu --config examples/kind/kind.yaml",
        `kind load docker-image ${IMAGES.join(" ")} --name dra-cpu`,
      ]);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("is of a Kubernetes that shares devices out without being asked", () => {
    const { nodes } = parse(readFileSync(join(KIND, "kind.yaml"), "utf8")) as { nodes: { image?: string }[] };
    expect(nodes).to.have.length(2);
    for (const { image = "" } of nodes)
      expect(Number(/^kindest\/node:v1\.(\d+)\.\d+@sha256:[0-9a-f]{64}$/.exec(image)?.[1])).to.be.at.least(36);
  });
});
