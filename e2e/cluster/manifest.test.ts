import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { expect } from "chai";
import { claimTemplate } from "../node/objects.ts";
import { allowedOf } from "../node/kernel.ts";
import { eachAlone } from "./alone.ts";
import { INSTALL } from "./manifests.ts";
import { rightsOf } from "./rights.ts";
import { world } from "./suite.ts";
import { NAMESPACE, NEXT, RELEASE } from "./world.ts";

const DAEMONSET = ["-n", NAMESPACE, `daemonset/${RELEASE}`];

describe("kubectl apply -f install.yaml", function () {
  this.timeout(180_000);
  const { node } = world;

  it("does what helm does", async () => {
    await node.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true");
    await node.kubectl("delete", "resourceclaimtemplate", "one", "--ignore-not-found");
    await node.apply(claimTemplate("one", "1"));
    await world.applyManifest(INSTALL);
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    const write = `try { require("fs").writeFileSync("/var/run/nri/x", ""); console.log("written"); } catch (e) { console.log(e.code); }`;
    expect((await world.inOwn("nri-agent", "/usr/bin/node", "-e", write)).trim(), "beside the socket").to.equal(
      "EROFS",
    );
  });

  describe("has the driver's rights", () => rightsOf(world));

  describe("each container alone", () =>
    eachAlone(world, {
      takeImage: async (name, image) => {
        await node.kubectl(
          "patch",
          ...DAEMONSET,
          "-p",
          '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}',
        );
        await node.kubectl("set", "image", ...DAEMONSET, `${name}=${image}`);
      },
      replacePods: () =>
        node.kubectl("patch", ...DAEMONSET, "-p", '{"spec":{"updateStrategy":{"type":"RollingUpdate"}}}'),
    }));

  // Tests of a suite run before the suites in it.
  describe("upgrade", () =>
    it("the next file upgrades, and kubectl rollout undo goes back: running pods keep their CPUs", async () => {
      const claimed = (await world.place("claimed")).pid;
      let pod = (await world.ownPod()).metadata.uid;
      const replaced = async (tag: string): Promise<void> => {
        await node.kubectl("rollout", "status", ...DAEMONSET, "--timeout=90s");
        pod = await world.replaced(pod, tag);
        expect(allowedOf(claimed), "mask of the claim's process, which ran all the time").to.equal("1");
        expect((await world.seen("shared")).exec).to.equal("0");
      };
      // In place, both have been the next version's.
      await world.applyManifest(INSTALL);
      await replaced(VERSION);
      const next = join(node.dir, "next.yaml");
      writeFileSync(next, readFileSync(INSTALL, "utf8").replaceAll(`:${VERSION}"`, `:${NEXT}"`));
      await world.applyManifest(next);
      await replaced(NEXT);
      await node.kubectl("rollout", "undo", ...DAEMONSET);
      await replaced(VERSION);
      await world.remove("shared");
    }));
});
