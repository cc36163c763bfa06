import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { PrepareLog } from "../prepare/ports.ts";
import type { DeviceTaint } from "../slices/device.ts";

/** With these no new claim gets its CPUs on this node. */
const CANNOT_PIN: readonly Finding["code"][] = [CODES.agentAway, CODES.sessionAway, CODES.checkpointUnwritable];
const LOOK_MS = 1000;
/** A restart and an upgrade of either program or of the runtime are over by then, and not worth new slices. */
const LASTS_MS = 30_000;

/** A label's name (k8s.io/api v0.36.3, resource/v1/types.go, DeviceTaint); the value is the problem's code. */
export const TAINT_KEY = "dra.cpu/cannot-pin";

/**
 * While new claims cannot be pinned on this node, its devices have a taint, so that the scheduler looks for another one (KEP-5055). Nothing that runs is evicted: it keeps its
 * CPUs.
 */
export class NodeTaint {
  #taint: DeviceTaint | undefined;

  get taint(): DeviceTaint | undefined {
    return this.#taint;
  }

  /** @param findings what is wrong now. @param onChange the devices are to be published anew. */
  async run(
    findings: () => readonly Finding[],
    onChange: () => void,
    log: PrepareLog,
    signal: AbortSignal,
    times = { lookMs: LOOK_MS, lastsMs: LASTS_MS },
  ): Promise<void> {
    let since: number | undefined;
    while (!signal.aborted) {
      const now = performance.now();
      const found = findings().find(({ code }) => CANNOT_PIN.includes(code));
      since = found === undefined ? undefined : (since ?? now);
      if (found === undefined && this.#taint !== undefined) {
        this.#taint = undefined;
        log.info("new claims can be pinned here again; the devices lose their taint");
        onChange();
      }
      if (found !== undefined && this.#taint === undefined && now - (since ?? now) >= times.lastsMs) {
        this.#taint = { key: TAINT_KEY, value: found.code.id, effect: "NoSchedule" };
        log.warn("no new claim can be pinned here; the devices get a taint", {
          cause: found.text,
          code: found.code.id,
        });
        onChange();
      }
      await pause(times.lookMs, signal);
    }
  }
}
