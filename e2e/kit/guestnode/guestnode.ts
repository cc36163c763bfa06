import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary } from "../../build/build.ts";
import { makeDisk, rootDisk, type Kernel } from "../guest/image.ts";
import { qemuCommand, type Shape } from "../guest/qemu.ts";
import { writeKubeconfig } from "../node/certificates.ts";
import type { Cluster } from "../node/cluster.ts";
import { cniConfig, containerdConfig, kubeletConfig } from "../node/configs.ts";
import { BOOTS, BOOTS_WITHIN_MS } from "../guest/boot.ts";
import type { Daemon } from "../node/processes.ts";
import { GuestShell } from "./shell.ts";

/** The cluster's service address is the guest's way out, and what it connects to there is the cluster's loopback. */
const GATEWAY = "10.96.0.1";
const NETWORK = "10.96.0.0/16";
/** Address of the cluster's own host, from which the API server reaches a kubelet. */
const HOST = "10.200.0.1";

export interface GuestNodeOptions {
  /** The cluster has a token for it. */
  readonly name: string;
  /** Tells guests of one cluster apart; 1 to 99. */
  readonly number: number;
  readonly kernel: Kernel;
  readonly shape: Shape;
  /** Disk with the images; what is written to it is gone with the guest. */
  readonly content: string;
  /** Fields of KubeletConfiguration, such as `cpuManagerPolicy`. */
  readonly kubelet?: Readonly<Record<string, unknown>>;
}

/** A machine in software that joins a cluster as a node: containerd and kubelet are in it, with everything at its usual path. */
export class GuestNode {
  readonly name: string;
  readonly shell: GuestShell;
  readonly #cluster: Cluster;
  readonly #o: GuestNodeOptions;
  readonly #dir: string;
  readonly #address: string;
  #qemu: Daemon | undefined;

  constructor(cluster: Cluster, options: GuestNodeOptions) {
    this.#cluster = cluster;
    this.#o = options;
    this.name = options.name;
    this.#dir = join(cluster.dir, options.name);
    this.#address = `10.96.0.${100 + options.number}`;
    this.shell = new GuestShell(join(this.#dir, "shell.sock"));
  }

  /** Boots it; {@link Cluster.nodesReady} waits for the node. A guest that dies in its kernel's start is booted again, as {@link bootGuest} does. */
  async start(): Promise<void> {
    this.#writeJob();
    // Else the guest would see its own address as where the API server's calls come from.
    await this.#cluster.run("ip", [
      "route",
      "replace",
      "local",
      this.#address,
      "dev",
      "lo",
      "table",
      "local",
      "src",
      HOST,
    ]);
    for (let attempt = 1; ; attempt++) {
      this.#boot();
      if (await this.#booted()) break;
      const said = `${this.name} did not boot: ${this.console().slice(-1000)}`;
      if (attempt === BOOTS) throw new Error(said);
      console.log(`      ${said}; once more`);
    }
    await this.shell.open();
    await this.shell.run("true", 120_000);
  }

  /** The kubelet ends and comes back with these fields of its configuration in place of those of the options. */
  async restartKubelet(more: Readonly<Record<string, unknown>>): Promise<void> {
    const text = Buffer.from(this.#kubelet(more)).toString("base64");
    await this.shell.run(`pid=$(cat /run/kubelet.pid); kill $pid; while [ -d /proc/$pid ]; do sleep 0.2; done
echo ${text} | base64 -d >/etc/kubelet.json
# Its memory of another policy would keep it from starting.
rm -f /var/lib/kubelet/cpu_manager_state
/job/kubelet.sh`);
  }

  /** What the guest's kernel wrote to its console. */
  console(): string {
    return this.#text("console.log");
  }

  async stop(): Promise<void> {
    this.shell.close();
    await this.#qemu?.stop();
  }

  #text(name: string): string {
    const path = join(this.#dir, name);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  #boot(): void {
    const forward = `hostfwd=tcp:${this.#address}:10250-${this.#address}:10250`;
    const command = qemuCommand({
      kernel: this.#o.kernel,
      shape: this.#o.shape,
      translatedMB: 2048,
      disks: [
        { file: rootDisk([binary("kube", "kubelet"), ...CNI.map((name) => binary("cni", name))]), mode: "snapshot" },
        { file: join(this.#dir, "job.ext4"), mode: "readonly" },
        { file: this.#o.content, mode: "snapshot" },
      ],
      ports: {
        out: `file,path=${join(this.#dir, "out.log")}`,
        shell: `socket,path=${join(this.#dir, "shell.sock")},server=on,wait=off`,
      },
      console: join(this.#dir, "console.log"),
      more: [
        ...["-netdev", `user,id=n0,net=${NETWORK},host=${GATEWAY},dhcpstart=10.96.0.15,${forward}`],
        ...["-device", "virtio-net-pci,netdev=n0"],
      ],
    });
    this.#qemu = this.#cluster.host(this.name, command);
  }

  async #booted(): Promise<boolean> {
    const end = Date.now() + BOOTS_WITHIN_MS;
    while (this.#qemu?.isAlive() === true && Date.now() < end) {
      if (this.#text("out.log").includes("BOOTED")) return true;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await this.#qemu?.stop();
    return false;
  }

  #writeJob(): void {
    const job = join(this.#dir, "job");
    mkdirSync(job, { recursive: true });
    const write = (name: string, text: string): void => writeFileSync(join(job, name), text);
    write("node.env", `NAME=${this.name}\nADDRESS=${this.#address}\nGATEWAY=${GATEWAY}\n`);
    write("10-bridge.conflist", cniConfig(`10.244.${100 + this.#o.number}.0/24`, "/run/cni"));
    write("containerd.toml", containerdConfig(CONTAINERD));
    write("kubelet.json", this.#kubelet(this.#o.kubelet ?? {}));
    writeKubeconfig(join(job, "kubelet.kubeconfig"), `https://${GATEWAY}:443`, "/job/ca.crt", this.name);
    copyFileSync(join(this.#cluster.dir, "pki", "ca.crt"), join(job, "ca.crt"));
    for (const name of ["run.sh", "kubelet.sh"]) copyFileSync(join(import.meta.dirname, name), join(job, name));
    makeDisk(job, join(this.#dir, "job.ext4"), 8);
  }

  #kubelet(more: Readonly<Record<string, unknown>>): string {
    return kubeletConfig({
      containerRuntimeEndpoint: `unix://${CONTAINERD.socket}`,
      clientCAFile: "/job/ca.crt",
      address: "0.0.0.0",
      more: { syncFrequency: "10s", ...more },
    });
  }
}

const CNI = ["bridge", "loopback", "host-local"] as const;

/** Plugins have longer than they would get on a real machine, for the same work takes longer. */
const CONTAINERD = {
  root: "/var/lib/containerd",
  state: "/run/containerd",
  opt: "/opt/containerd",
  socket: "/run/containerd/containerd.sock",
  cdiDir: "/run/cdi",
  nriDir: "/run/nri",
  cniDir: "/etc/cni/net.d",
  cniBin: "/bin",
  shim: "/bin/containerd-shim-runc-v2",
  runc: "/bin/runc",
  requestTimeout: "20s",
  registrationTimeout: "60s",
};
