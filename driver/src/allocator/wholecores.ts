/** 1 for each amount up to `limit` that whole cores add up to, by how many cores there are of each size. */
export function wholeSums(counts: ReadonlyMap<number, number>, limit: number): Uint8Array {
  const sums = new Uint8Array(limit + 1);
  sums[0] = 1;
  for (const [size, count] of counts) {
    // Cores of this size used so far, for the amounts that need one.
    const used = new Int32Array(limit + 1);
    for (let t = size; t <= limit; t++) {
      const before = used[t - size] ?? 0;
      if (sums[t] === 1 || sums[t - size] !== 1 || before >= count) continue;
      sums[t] = 1;
      used[t] = before + 1;
    }
  }
  return sums;
}

export function countBySize(sizes: Iterable<number>): Map<number, number> {
  const counts = new Map<number, number>();
  for (const size of sizes) counts.set(size, (counts.get(size) ?? 0) + 1);
  return counts;
}
