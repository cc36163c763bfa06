/** Something that was started and has to be undone; the last one started is stopped first. */
export type Undo = () => void | Promise<void>;

/**
 * Starts the parts of a program in order, runs until a signal or a failure, and undoes the started parts in reverse order.
 *
 * @returns the exit status: 0 after a signal, 1 after a failure.
 */
export async function runProgram(
  start: (program: Program) => Promise<void>,
  say: { info(message: string): void; error(message: string, fields?: Record<string, unknown>): void },
): Promise<number> {
  const program = new Program();
  const onSignal = (name: NodeJS.Signals): void => {
    // A second signal ends at once: whoever sends it does not want to wait.
    if (program.signal.aborted) process.exit(1);
    say.info(`stopping on ${name}`);
    program.stop();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  try {
    await start(program);
    await program.ended();
  } catch (cause) {
    program.fail(cause);
  }
  program.stop();
  for (const undo of program.undos.reverse()) {
    try {
      await undo();
    } catch (cause) {
      say.error("a part did not stop in order", { cause: String(cause) });
    }
  }
  process.removeListener("SIGTERM", onSignal);
  process.removeListener("SIGINT", onSignal);
  if (program.failure === undefined) return 0;
  const { failure } = program;
  const known = failure instanceof Error ? failure : new Error("a part of the program failed", { cause: failure });
  say.error(known.message, { cause: known.stack ?? "" });
  return 1;
}

export class Program {
  readonly undos: Undo[] = [];
  readonly #controller = new AbortController();
  failure: unknown;
  #end: () => void = () => {};
  readonly #ended: Promise<void>;

  constructor() {
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  onStop(undo: Undo): void {
    this.undos.push(undo);
  }

  /** A task that runs as long as the program; its failure ends the program and is the program's cause. */
  supervise(task: Promise<void>): void {
    task.catch((cause: unknown) => this.fail(cause));
  }

  fail(cause: unknown): void {
    if (!this.signal.aborted) this.failure ??= cause;
    this.stop();
  }

  stop(): void {
    this.#controller.abort();
    this.#end();
  }

  ended(): Promise<void> {
    return this.#ended;
  }
}
