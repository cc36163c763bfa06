import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DRIVER_SETTINGS } from "@dracpu/driver/config/settings.ts";
import type { ResourceClaim } from "@dracpu/driver/claims/resourceclaim.ts";
import { byConfigFile } from "./configfile.ts";
import { startDaemon, type Daemon } from "./node/processes.ts";

export const NODE = "node-1";

export interface DriverOptions {
  /** Short; its sockets lie in it. */
  readonly dir: string;
  /** Program and first arguments: from sources, or a bundle. */
  readonly argv: readonly string[];
  readonly kubeconfig: string;
  readonly kubeletRootDir: string;
  readonly agentSocket: string;
  /** For its probes; none by default. */
  readonly bindAddress?: string;
  readonly flags?: Readonly<Record<string, string>>;
  /** By a configuration file, as in a pod. */
  readonly byFile?: boolean;
  readonly env?: NodeJS.ProcessEnv;
}

/** The driver as a process, with its directories in `dir`. */
export class DriverProcess {
  readonly cdiDir: string;
  readonly stateDir: string;
  readonly #o: DriverOptions;
  #starts = 0;
  daemon: Daemon | undefined;

  constructor(options: DriverOptions) {
    this.#o = options;
    this.cdiDir = join(options.dir, "cdi");
    this.stateDir = join(options.dir, "driver");
  }

  /** @param flags in place of those of the options. */
  start(flags: Readonly<Record<string, string>> = {}): Daemon {
    this.#starts += 1;
    mkdirSync(this.#o.dir, { recursive: true });
    const all = {
      "--kubeconfig": this.#o.kubeconfig,
      "--kubelet-root-dir": this.#o.kubeletRootDir,
      "--cdi-dir": this.cdiDir,
      "--agent-socket": this.#o.agentSocket,
      "--state-dir": this.stateDir,
      "--node-name": NODE,
      "--bind-address": this.#o.bindAddress ?? "",
      "--page-address": "",
      ...this.#o.flags,
      ...flags,
    };
    const list = Object.entries(all).flat();
    const args = this.#o.byFile === true ? byConfigFile(DRIVER_SETTINGS, list, join(this.#o.dir, "driver.yaml")) : list;
    this.daemon = startDaemon(`driver-${this.#starts}`, [...this.#o.argv, "run", ...args], {
      logDir: this.#o.dir,
      ...(this.#o.env === undefined ? {} : { env: this.#o.env }),
    });
    return this.daemon;
  }

  log(): string {
    return this.daemon === undefined ? "" : readFileSync(this.daemon.log, "utf8");
  }
}

/** A claim as the scheduler leaves it: one request, allocated, reserved for one pod. */
export function allocatedClaim(
  name: string,
  cpus: number,
  device = "cpudevnuma000",
): { claim: ResourceClaim; ref: { namespace: string; name: string; uid: string } } {
  const ref = { namespace: "default", name, uid: `uid-${name}` };
  return {
    ref,
    claim: {
      metadata: ref,
      status: {
        allocation: {
          devices: {
            results: [
              {
                request: "cpus",
                driver: "dra.cpu",
                pool: NODE,
                device,
                consumedCapacity: { "dra.cpu/cpu": String(cpus) },
                shareID: `share-${name}`,
              },
            ],
          },
        },
        reservedFor: [{ resource: "pods", name: `pod-${name}`, uid: `pod-${name}` }],
      },
    },
  };
}
