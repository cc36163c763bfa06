/** Until then nobody wonders. */
const PATIENCE_MS = 1000;
const FRAMES = ["|", "/", "-", "\\"];
const FRAME_MS = 200;
const ERASE_LINE = "\r\u001b[K";

/** What of a terminal is used. */
export interface Terminal {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** While a task takes more than a second, a person at a terminal is told what is waited for. Nothing of it is left. */
export async function withProgress<T>(
  what: string,
  task: () => Promise<T>,
  terminal: Terminal = process.stderr,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  if (terminal.isTTY !== true) return task();
  let frame = 0;
  let isShown = false;
  const timer = setInterval(() => {
    if (++frame * FRAME_MS < patienceMs) return;
    isShown = true;
    terminal.write(`${ERASE_LINE}${FRAMES[frame % FRAMES.length] ?? ""} ${what}`);
  }, FRAME_MS);
  try {
    return await task();
  } finally {
    clearInterval(timer);
    if (isShown) terminal.write(ERASE_LINE);
  }
}
