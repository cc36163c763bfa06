/** Something that people are told of: in findings of `dracpu doctor`, problems of the state, Events, log lines (`code`), alerts and docs/codes.md. */
export interface Code {
  /** `DRACPU-nnn`. Never used again for anything else. */
  readonly id: string;
  readonly title: string;
  /** `wrong`: a promise is not kept, or something does not work; `warning`: it may come to that. */
  readonly severity: "wrong" | "warning";
  readonly meaning: string;
  readonly action: string;
}

/** A sentence with its code. */
export interface Finding {
  readonly code: Code;
  readonly text: string;
}

/** The sentence as people read it in one line. */
export function coded({ code, text }: Finding): string {
  return `${text} [${code.id}]`;
}
