import { styleText } from "node:util";
import { until } from "../kit/node/processes.ts";

/** Where the demo tells what happens and what was seen of it. */
export class Stage {
  failures = 0;
  #step = 0;

  /** Something is done now. */
  step(title: string): void {
    this.#step += 1;
    console.log(`\n${styleText("bold", `${this.#step}. ${title}`)}`);
  }

  say(text: string): void {
    console.log(`   ${text.replaceAll("\n", "\n   ")}`);
  }

  /** Waits until it is so; what does not come is a failure, and the demo goes on. */
  async check(what: string, look: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
    const began = performance.now();
    try {
      await until(what, look, ms, 20);
      const seconds = (performance.now() - began) / 1000;
      const took = seconds < 0.1 ? "" : styleText("dim", ` (${seconds.toFixed(1)} s)`);
      this.say(`${styleText("green", "✔")} ${what}${took}`);
    } catch (cause) {
      this.failures += 1;
      this.say(`${styleText("red", "✗")} ${(cause as Error).message}`);
    }
  }
}
