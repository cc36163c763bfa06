import { expect } from "chai";
import { CHART } from "../kit/node/helm.ts";
import { eachAlone } from "./alone.ts";
import { world } from "./suite.ts";
import { RELEASE, until } from "./world.ts";

describe("each container of the installed pod alone", function () {
  this.timeout(120_000);
  const { node } = world;

  eachAlone(world, {
    takeImage: (name, image) => {
      const value = name === "driver" ? "driver.image" : "agent.image";
      return world.helm.run(
        ...["upgrade", RELEASE, CHART, "--reuse-values"],
        ...["--set", "updateStrategy.type=OnDelete", "--set", `${value}=${image}`],
      );
    },
    replacePods: () => world.helm.upgrade("--reuse-values", "--set", "updateStrategy.type=RollingUpdate"),
  });

  it("logs everything when it is told to, and less again, without a restart", async () => {
    for (const [name, program, line] of [
      ["driver", "dracpu", "asked the API server"],
      ["nri-agent", "dracpu-agent", "answered the runtime"],
    ] as const) {
      const { id } = await world.own(name);
      expect(await world.ownLogs(name)).not.to.include(line);
      await world.inOwn(name, program, "log-level", "debug");
      await until(`${name} logs as it was told`, async () => (await world.ownLogs(name)).includes("is debug or worse"));
      await world.createPod({ name: `said-${name}` });
      await world.running(`said-${name}`);
      await node.kubectl("delete", "pod", `said-${name}`, "--wait=true");
      if (name === "driver") await node.kubectl("delete", "resourceslices", "--all");
      await until(`${name} logs all`, async () => (await world.ownLogs(name)).includes(line), 20_000, 200);
      await world.inOwn(name, program, "log-level", "configured");
      await until(`${name} logs less`, async () => (await world.ownLogs(name)).includes("is info or worse"));
      expect((await world.own(name)).id, "no restart").to.equal(id);
    }
  });
});
