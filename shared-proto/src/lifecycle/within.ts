/**
 * Work with a signal of its own, which aborts after `ms` or with the first of `signals`. Nothing is left of it afterwards, while the platform's own
 * timeout signals keep all that ever listened to them until their time is over: 200 KB a claim, for 40 s.
 */
export async function within<T>(
  ms: number,
  signals: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const own = new AbortController();
  const abort = (event: Event): void => own.abort((event.target as AbortSignal).reason);
  const timer = setTimeout(() => own.abort(new DOMException(`not done within ${ms / 1000} s`, "TimeoutError")), ms);
  for (const signal of signals) {
    if (signal.aborted) own.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
  }
  try {
    return await work(own.signal);
  } finally {
    clearTimeout(timer);
    for (const signal of signals) signal.removeEventListener("abort", abort);
  }
}
