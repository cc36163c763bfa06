import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { binary } from "../build/build.ts";
import { allowedOf } from "../node/kernel.ts";
import { NAMESPACE, NEXT, RELEASE, REPOSITORY, until, type ClusterWorld, type OwnContainer } from "./world.ts";

const OWN = { exec: "1", first: "1", cgroup: "1" };
const SCRIPT = join(import.meta.dirname, "..", "..", "charts", "replace-image.sh");

/** What an operator does to the DaemonSet's template, with the tool that installed it. */
export interface Hands {
  /** This image in the template, and pods that are not replaced for it. */
  takeImage(name: OwnContainer["name"], image: string): Promise<unknown>;
  /** Pods are replaced again where the template changes. */
  replacePods(): Promise<unknown>;
}

/** As an operator runs it. @returns what it prints. */
export async function replaceImage({ node }: ClusterWorld, name: OwnContainer["name"]): Promise<string> {
  const kubectl = dirname(binary("kube", "kubectl"));
  const { stdout } = await promisify(execFile)("nsenter", [...node.enter(), SCRIPT, NAMESPACE, RELEASE, name], {
    env: { ...node.environment(), KUBECONFIG: node.kubeconfig, PATH: `${kubectl}:${process.env["PATH"] ?? ""}` },
  });
  return stdout.trimEnd();
}

/** Tests of each container of the installed pod alone. One claim's pod and one shared pod run all the time, and none of them notices anything. */
export function eachAlone(world: ClusterWorld, hands: Hands): void {
  const { node } = world;
  let watched: { readonly claimed: number; readonly shared: number } | undefined;

  before(async () => {
    await world.removeAll();
    await world.createPod({ name: "claimed", template: "one" });
    await world.createPod({ name: "shared" });
    await world.running("claimed");
    await world.running("shared");
    watched = { claimed: (await world.place("claimed")).pid, shared: (await world.place("shared")).pid };
  });
  const nothingMoved = async (): Promise<void> => {
    expect(await world.seen("claimed")).to.deep.equal(OWN);
    expect((await world.seen("shared")).exec).to.equal("0");
    expect({ claimed: allowedOf(watched?.claimed ?? 0), shared: allowedOf(watched?.shared ?? 0) }).to.deep.equal({
      claimed: "1",
      shared: "0",
    });
  };
  const agree = (): Promise<boolean> =>
    until(
      "driver and agent agree",
      async () => (await world.state<{ truth: string }>()).truth === "TRUTH_CONFIRMED",
      20_000,
      200,
    );
  const others = { driver: "nri-agent", "nri-agent": "driver" } as const;
  const came = async (name: OwnContainer["name"], before: OwnContainer): Promise<OwnContainer> =>
    until(
      `another container ${name} runs`,
      async () => {
        const now = await world.own(name);
        return now.id !== before.id && now.pid > 0 && now;
      },
      30_000,
      100,
    );

  for (const name of ["driver", "nri-agent"] as const) {
    const program = name === "driver" ? "dracpu" : "dracpu-agent";
    it(`${name}: ${program} restart restarts it, and nothing else`, async () => {
      const [before, other] = [await world.own(name), await world.own(others[name])];
      await world.inOwn(name, program, "restart").catch(() => {
        // Its own process may be ended before it could say that it worked.
      });
      const after = await came(name, before);
      expect(after.restarts).to.equal(before.restarts + 1);
      await world.ready();
      await agree();
      expect(await world.own(others[name])).to.deep.equal(other);
      await nothingMoved();
    });
  }

  /** Pods come and go until it is over, and each of them ends up off the claim's CPU. @returns what ends it, and says how many there were. */
  const podsCome = (prefix: string): (() => Promise<number>) => {
    let isOver = false;
    const coming = (async () => {
      for (let n = 1; ; n++) {
        const name = `${prefix}-${n}`;
        await world.createPod({ name });
        await world.running(name, 60_000);
        await until("it runs where it may", async () => (await world.seen(name)).exec === "0", 20_000, 100);
        await node.kubectl("delete", "pod", name, "--wait=true");
        if (isOver) return n;
      }
    })();
    // Whoever fails is heard when it is over.
    coming.catch(() => {});
    return () => {
      isOver = true;
      return coming;
    };
  };

  for (const name of ["driver", "nri-agent"] as const) {
    it(`${name}: its image is replaced in the running pod, and the DaemonSet's controller is content, while pods come and go`, async () => {
      const [before, other] = [await world.own(name), await world.own(others[name])];
      const { metadata } = await world.ownPod();
      const image = `${REPOSITORY}/${name}:${NEXT}`;
      const isOver = podsCome(`beside-${name}`);
      await hands.takeImage(name, image);
      console.log((await replaceImage(world, name)).replaceAll(/^/gm, "      "));
      const after = await came(name, before);
      expect(after.image).to.equal(image);
      await world.ready();
      await agree();
      await hands.replacePods();
      expect((await world.ownPod()).metadata.uid, "the pod").to.equal(metadata.uid);
      expect(await world.own(others[name])).to.deep.equal(other);
      const status = ["get", "daemonset", "-n", NAMESPACE, RELEASE, "-o"];
      const said = "jsonpath={.status.updatedNumberScheduled} {.spec.updateStrategy.type}";
      await until(
        "it is counted",
        async () => (await node.kubectl(...status, said)) === "1 RollingUpdate",
        20_000,
        200,
      );
      console.log(`      ${await isOver()} pods came and went meanwhile`);
      await nothingMoved();
    });
  }
}
