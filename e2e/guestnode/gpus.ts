import { Kubelet } from "@dracpu/driver/kubelet/kubelet.ts";
import type { ClaimRef } from "@dracpu/driver/prepare/ports.ts";

// Another driver of a node, for claims that ask for devices of both: it says yes to the kubelet, and gives nothing. A program of its own, which a pod runs.
const say = (message: string): void => console.log(message);
const all = <T>(claims: readonly ClaimRef[], answer: T): Promise<ReadonlyMap<string, T>> =>
  Promise.resolve(new Map(claims.map(({ uid }) => [uid, answer])));
const kubelet = new Kubelet({
  rootDir: "/var/lib/kubelet",
  driver: "gpu.example.com",
  plugin: {
    prepare: (claims) => all(claims, { kind: "prepared" as const, devices: [] }),
    unprepare: (claims) => all(claims, { kind: "done" as const }),
    stop: () => Promise.resolve(),
  },
  health: { health: () => Promise.resolve([]), subscribe: () => () => {} },
  log: { info: say, warn: say, error: say },
  onContact: () => say("the kubelet knows this driver"),
});
await kubelet.start();
// A socket that stays would be told as the product's.
process.once("SIGTERM", () => void kubelet.stop().then(() => process.exit(0)));
