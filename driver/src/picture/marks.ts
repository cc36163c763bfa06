/** Letters and digits that a claim may be in a drawing. */
const MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwyz0123456789";
/** Colours that can be told apart. */
export const HUES = 10;

export interface Mark {
  readonly mark: string;
  readonly hue: number;
}

/**
 * A letter and a colour for each claim. A letter of its pod's name where one is left, so that a reader remembers it; the order of uids decides who is
 * first, so that a claim keeps its mark while others of later uids come and go.
 */
export function marksFor(
  claims: readonly { readonly uid: string; readonly called: string }[],
): ReadonlyMap<string, Mark> {
  const marks = new Map<string, Mark>();
  const left = new Set(MARKS);
  const hues = Array.from({ length: HUES }, () => 0);
  for (const { uid, called } of [...claims].sort((a, b) => (a.uid < b.uid ? -1 : 1))) {
    const own = `${called.toUpperCase()}${MARKS}`.split("").find((letter) => left.has(letter));
    if (own !== undefined) left.delete(own);
    const first = hueOf(uid);
    // The colour that fewest have, from its own one on.
    const [hue = first] = hues.map((_, n) => (first + n) % HUES).sort((a, b) => (hues[a] ?? 0) - (hues[b] ?? 0));
    hues[hue] = (hues[hue] ?? 0) + 1;
    marks.set(uid, { mark: own ?? "*", hue });
  }
  return marks;
}

function hueOf(uid: string): number {
  let sum = 0;
  for (const letter of uid) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 65521;
  return sum % HUES;
}
