import type { Picture } from "../picture/picture.ts";
import type { Numbered } from "../picture/timeline.ts";

/** What the page shows. */
export interface PageSources {
  picture(): Promise<Picture>;
  /** Entries with a higher number that are still kept, oldest first. */
  entries(afterSeq: number): readonly Numbered[];
  /** Called after each new entry. @returns undoes it. */
  subscribe(listener: () => void): () => void;
}
