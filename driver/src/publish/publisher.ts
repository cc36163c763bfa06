import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { PrepareLog } from "../prepare/ports.ts";
import type { Device, ResourceSlice } from "../slices/device.ts";
import { dropped, refused, type Kept, type Loss } from "../slices/kept.ts";
import { planSlices } from "../slices/slices.ts";
import type { SliceApi, StoredSlice } from "./ports.ts";
import { Quarrel } from "./quarrel.ts";

/** After the kubelet's contact its deletion of this node's slices may still be on its way. */
const LOOK_AGAIN_MS = [2000, 10_000, 30_000];
/** A dropped watch event cannot leave the pool wrong for longer. */
const RESYNC_MS = 300_000;

export interface PublisherOptions {
  readonly api: SliceApi;
  readonly driver: string;
  readonly nodeName: string;
  /** The devices in the form that this API server keeps. */
  readonly devices: (kept: Kept) => readonly Device[];
  /** What is tried first. */
  readonly wishes: Kept;
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
  /** Tried anew with every publication, for feature gates are turned on; but a field that the schema lacks is never sent again. */
  #wishes: Kept;
  readonly #undeclared = new Set<string>();
  /** Found by dry runs. */
  #kept: Kept;
  /** The cache is not to be believed: what the server has is listed first. */
  #relist = false;
  readonly #quarrel: Quarrel;
  #state: PublishState = { published: false, why: "not published yet", dropped: [] };

  constructor(options: PublisherOptions) {
    this.#o = options;
    this.#quarrel = new Quarrel(options.driver, options.log);
    this.#wishes = options.wishes;
    this.#kept = options.wishes;
  }

  state(): PublishState {
    return this.#state;
  }

  /** The kubelet was in contact: look now, and again after a while. */
  contact(signal: AbortSignal): void {
    const look = (): void => {
      this.#relist = true;
      // It deletes the slices once per start; that is no quarrel.
      this.#quarrel.forgive();
      this.kick();
    };
    look();
    for (const ms of LOOK_AGAIN_MS) void pause(ms, signal).then(look);
  }

  /** The devices may have changed. */
  kick(): void {
    this.#dirty = true;
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#follow(signal), this.#keep(signal)]);
  }

  async #keep(signal: AbortSignal): Promise<void> {
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
        this.#replace(event.slices);
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
    if (this.#relist) {
      this.#relist = false;
      try {
        this.#replace(await api.list(driver, nodeName, signal));
      } catch (cause) {
        this.#relist = true;
        throw cause;
      }
    }
    if (this.#nodeUid === "") this.#nodeUid = await api.nodeUid(nodeName, signal);
    const owner = { driver, nodeName, nodeUid: this.#nodeUid };
    const newest = (): number => Math.max(0, ...[...this.#stored.values()].map((slice) => slice.spec.pool.generation));
    const planned = (generation: number): readonly ResourceSlice[] =>
      planSlices(this.#o.devices(this.#kept), owner, Math.max(1, generation));
    const differing = (): ResourceSlice[] =>
      planned(newest()).filter((slice) => !isStored(this.#stored.get(slice.metadata.name), slice));
    const others = differing().flatMap(({ metadata }) => this.#stored.get(metadata.name) ?? []);
    if (differing().length > 0) await this.#quarrel.beforeWrite(others, signal);
    if (differing().length > 0)
      await this.#probe((kept) => planSlices(this.#o.devices(kept), owner, newest() + 1), signal);
    // What the server keeps of it may be what it has already.
    if (differing().length > 0) {
      const asIs = planned(newest());
      // One slice may change inside its generation; a pool that changes in more than one place needs a new one.
      const alone = asIs.length === 1 && this.#obsolete(asIs).length === 0;
      const wanted = alone || newest() === 0 ? differing() : planned(newest() + 1);
      for (const slice of wanted) {
        const stored = await api.apply(slice, false, signal);
        this.#stored.set(stored.metadata.name, stored);
      }
      log.info("published ResourceSlices", {
        slices: asIs.length,
        devices: asIs.reduce((sum, slice) => sum + slice.spec.devices.length, 0),
        generation: wanted[0]?.spec.pool.generation,
      });
    }
    for (const slice of this.#obsolete(planned(newest()))) {
      await api.remove(slice, signal);
      this.#stored.delete(slice.metadata.name);
    }
    this.#state = { ...this.#state, published: true, why: "" };
  }

  #obsolete(wanted: readonly ResourceSlice[]): StoredSlice[] {
    return [...this.#stored.values()].filter(
      (slice) => !wanted.some((one) => one.metadata.name === slice.metadata.name),
    );
  }

  /** Dry runs of every slice before any is written, with less wished each time; at most one round for each thing that can be lost. */
  async #probe(planned: (kept: Kept) => readonly ResourceSlice[], signal: AbortSignal): Promise<void> {
    let kept = this.#wishes;
    const sentences: string[] = [];
    for (;;) {
      const loss = await this.#lost(kept, planned(kept), signal);
      if (loss === undefined) break;
      ({ kept } = loss);
      if (loss.sentence !== "") sentences.push(loss.sentence);
    }
    this.#kept = kept;
    sentences.unshift(...[...this.#undeclared].filter((one) => !sentences.includes(one)));
    for (const sentence of sentences) if (!this.#state.dropped.includes(sentence)) this.#o.log.error(sentence);
    this.#state = { ...this.#state, dropped: sentences };
  }

  async #lost(kept: Kept, slices: readonly ResourceSlice[], signal: AbortSignal): Promise<Loss | undefined> {
    for (const slice of slices) {
      const sent = slice.spec.devices;
      let loss: Loss | undefined;
      try {
        const got = await this.#o.api.apply(slice, true, signal);
        loss = dropped(kept, sent, got.spec.devices ?? []);
      } catch (cause) {
        loss = refused(kept, sent, (cause as Error).message);
        if (loss === undefined) throw cause;
        if (loss.kept.mapping !== kept.mapping) {
          this.#wishes = { ...this.#wishes, mapping: loss.kept.mapping };
          if (loss.sentence !== "") this.#undeclared.add(loss.sentence);
        }
      }
      if (loss !== undefined) return loss;
    }
    return undefined;
  }

  #replace(slices: readonly StoredSlice[]): void {
    this.#stored.clear();
    for (const slice of slices) this.#stored.set(slice.metadata.name, slice);
  }

  async #woken(signal: AbortSignal): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const resync = new AbortController();
    const timer = pause(RESYNC_MS, AbortSignal.any([signal, resync.signal])).then(() => {
      if (resync.signal.aborted) return;
      this.#relist = true;
      this.#dirty = true;
    });
    await Promise.race([woken, timer]);
    resync.abort();
  }
}

const OPTIONAL = ["nodeAllocatableResourceMappings", "nodeAllocatableResources", "capacity", "taints"] as const;

/** Whether the server has what is wanted; what it adds by itself does not count. */
function isStored(stored: StoredSlice | undefined, wanted: ResourceSlice): boolean {
  if (stored === undefined) return false;
  const devices = stored.spec.devices ?? [];
  // What an earlier release or another configuration published and this one does not is to go.
  const extra = devices.some((device, n) => {
    const want = wanted.spec.devices[n];
    const attributes = want?.attributes ?? {};
    return (
      Object.keys(device.attributes ?? {}).length !== Object.keys(attributes).length ||
      OPTIONAL.some((field) => (device[field] === undefined) !== (want?.[field] === undefined))
    );
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
