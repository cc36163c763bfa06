import { connect, type Socket } from "node:net";
import { until } from "../node/processes.ts";

/** Runs scripts in a guest, one after the other, through a serial port whose other end is a socket. */
export class GuestShell {
  readonly #path: string;
  #socket: Socket | undefined;
  #text = "";
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** Waits for the socket, which qemu makes. What is sent before the guest listens is kept for it. */
  async open(): Promise<void> {
    this.#socket = await until(
      `the guest's socket ${this.#path} is there`,
      () =>
        new Promise<Socket>((resolve, reject) => {
          const socket = connect(this.#path, () => resolve(socket));
          socket.on("error", reject);
        }),
      20_000,
      100,
    );
    this.#socket.setEncoding("utf8");
    this.#socket.on("data", (text: string) => {
      this.#text += text;
    });
    this.#socket.on("error", () => {});
  }

  /** @returns output of the script, and what it wrote to standard error. @throws Error with that where it failed. */
  run(script: string, ms = 60_000): Promise<string> {
    const mine = this.#last.then(() => this.#one(script, ms));
    this.#last = mine.catch(() => {});
    return mine;
  }

  async #one(script: string, ms: number): Promise<string> {
    this.#text = "";
    this.#socket?.write(`${Buffer.from(script).toString("base64")}\n`);
    const what = `the guest runs ${JSON.stringify(script.slice(0, 100))}`;
    const [, output = "", status = ""] = await until(
      what,
      () => /^([^]*)\nEND (\d+)\n$/.exec(this.#text) ?? undefined,
      ms,
    );
    if (status !== "0") throw new Error(`${what}: ${status}: ${output.trim().slice(-500)}`);
    return output;
  }

  close(): void {
    this.#socket?.destroy();
  }
}
