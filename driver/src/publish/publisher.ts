import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { PrepareLog } from "../prepare/ports.ts";
import type { Device, ResourceSlice } from "../slices/device.ts";
import { planSlices } from "../slices/slices.ts";
import type { SliceApi, StoredSlice } from "./ports.ts";

/** After the kubelet's contact its deletion of this node's slices may still be on its way. */
const LOOK_AGAIN_MS = [2000, 10_000, 30_000];
/** A dropped watch event cannot leave the pool wrong for longer. */
const RESYNC_MS = 300_000;

export interface PublisherOptions {
  readonly api: SliceApi;
  readonly driver: string;
  readonly nodeName: string;
  readonly devices: () => readonly Device[];
  readonly log: PrepareLog;
}

export interface PublishState {
  readonly published: boolean;
  readonly why: string;
  /** What the API server does not keep of what was sent, one sentence each. */
  readonly dropped: readonly string[];
}

/**
 * Publishes this node's slices and keeps them true: what somebody else changes or deletes is applied again at once (a restarted kubelet
 * deletes all slices of the node 0.2 s after the registration, and nobody else restores them).
 */
export class Publisher {
  readonly #o: PublisherOptions;
  readonly #stored = new Map<string, StoredSlice>();
  #listed = false;
  #nodeUid = "";
  #wake: () => void = () => {};
  #dirty = true;
  #state: PublishState = { published: false, why: "not published yet", dropped: [] };

  constructor(options: PublisherOptions) {
    this.#o = options;
  }

  state(): PublishState {
    return this.#state;
  }

  /** The kubelet was in contact: look now, and again after a while. */
  contact(signal: AbortSignal): void {
    this.kick();
    for (const ms of LOOK_AGAIN_MS) void pause(ms, signal).then(() => this.kick());
  }

  /** The devices may have changed. */
  kick(): void {
    this.#dirty = true;
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    void this.#follow(signal);
    const backoff = new Backoff(200, 30_000);
    let said = "";
    while (!signal.aborted) {
      if (this.#listed && this.#dirty) {
        this.#dirty = false;
        try {
          await this.#publish(signal);
          said = "";
          backoff.reset();
        } catch (cause) {
          if (signal.aborted) return;
          const why = (cause as Error).message;
          if (why !== said)
            this.#o.log.error("cannot publish this node's ResourceSlices; trying again", { cause: why });
          said = why;
          this.#state = { ...this.#state, published: false, why };
          this.#dirty = true;
          await pause(backoff.nextMs(), signal);
          continue;
        }
      }
      if (!this.#dirty || !this.#listed) await this.#woken(signal);
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for await (const event of this.#o.api.watch(this.#o.driver, this.#o.nodeName, signal)) {
      if (event.kind === "list") {
        this.#stored.clear();
        for (const slice of event.slices) this.#stored.set(slice.metadata.name, slice);
        this.#listed = true;
      } else if (event.kind === "changed") this.#stored.set(event.slice.metadata.name, event.slice);
      else {
        this.#stored.delete(event.slice.metadata.name);
        // The Node may have been made anew: slices owned by the old uid are collected again and again.
        this.#nodeUid = "";
      }
      this.kick();
    }
  }

  async #publish(signal: AbortSignal): Promise<void> {
    const { api, driver, nodeName, log } = this.#o;
    if (this.#nodeUid === "") this.#nodeUid = await api.nodeUid(nodeName, signal);
    const owner = { driver, nodeName, nodeUid: this.#nodeUid };
    const newest = Math.max(0, ...[...this.#stored.values()].map((slice) => slice.spec.pool.generation));
    const asIs = planSlices(this.#o.devices(), owner, Math.max(1, newest));
    const differing = asIs.filter((slice) => !isStored(this.#stored.get(slice.metadata.name), slice));
    const obsolete = [...this.#stored.values()].filter(
      (slice) => !asIs.some((wanted) => wanted.metadata.name === slice.metadata.name),
    );
    if (differing.length > 0) {
      // One slice may change inside its generation; a pool that changes in more than one place needs a new one.
      const alone = asIs.length === 1 && obsolete.length === 0;
      const wanted = alone || newest === 0 ? asIs : planSlices(this.#o.devices(), owner, newest + 1);
      for (const slice of alone || newest === 0 ? differing : wanted) {
        const tried = await api.apply(slice, true, signal);
        this.#compare(slice, tried);
        const stored = await api.apply(slice, false, signal);
        this.#stored.set(stored.metadata.name, stored);
      }
      log.info("published ResourceSlices", {
        slices: wanted.length,
        devices: this.#o.devices().length,
        generation: wanted[0]?.spec.pool.generation,
      });
    }
    for (const slice of obsolete) {
      await api.remove(slice, signal);
      this.#stored.delete(slice.metadata.name);
    }
    this.#state = { ...this.#state, published: true, why: "" };
  }

  /** A field whose feature gate is off is dropped without a word. */
  #compare(sent: ResourceSlice, got: StoredSlice): void {
    const dropped: string[] = [];
    sent.spec.devices.forEach((device, n) => {
      const kept = got.spec.devices?.[n];
      if (device.allowMultipleAllocations === true && kept?.allowMultipleAllocations !== true) {
        dropped.push(
          "the API server drops allowMultipleAllocations: grouped devices need the feature gate DRAConsumableCapacity (on by default from 1.36)",
        );
      }
    });
    const once = [...new Set(dropped)];
    for (const sentence of once) if (!this.#state.dropped.includes(sentence)) this.#o.log.error(sentence);
    this.#state = { ...this.#state, dropped: once };
  }

  async #woken(signal: AbortSignal): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const resync = new AbortController();
    const timer = pause(RESYNC_MS, AbortSignal.any([signal, resync.signal])).then(() => {
      this.#dirty = true;
    });
    await Promise.race([woken, timer]);
    resync.abort();
  }
}

/** Whether the server has what is wanted; what it adds by itself does not count. */
function isStored(stored: StoredSlice | undefined, wanted: ResourceSlice): boolean {
  if (stored === undefined) return false;
  const devices = stored.spec.devices ?? [];
  // Attributes that an earlier release published and this one does not are to go.
  const extra = devices.some((device, n) => {
    const want = wanted.spec.devices[n]?.attributes ?? {};
    return Object.keys(device.attributes ?? {}).length !== Object.keys(want).length;
  });
  return !extra && covers(devices, wanted.spec.devices) && covers(stored.spec.pool, wanted.spec.pool);
}

function covers(have: unknown, want: unknown): boolean {
  if (Array.isArray(want)) {
    return Array.isArray(have) && have.length === want.length && want.every((item, n) => covers(have[n], item));
  }
  if (typeof want === "object" && want !== null) {
    if (typeof have !== "object" || have === null) return false;
    return Object.entries(want).every(([key, value]) => covers((have as Record<string, unknown>)[key], value));
  }
  return have === want;
}
