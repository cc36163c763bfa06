import type { Code } from "@dracpu/shared-proto/codes/code.ts";

/** A claim is not prepared; the sentence reaches the pod as an Event. */
export class Refused extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
