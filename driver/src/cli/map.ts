import type { BoxView, ClaimView, Picture, ThreadView, Use } from "../picture/picture.ts";
import { findingLines } from "./findings.ts";
import { age, clock, columns, plain, styled, type Style } from "./table.ts";

/** Idle cores that are alike and stand beside each other are one from this many on, as lstopo does. */
const FOLD_FROM = 5;

const GLYPHS: Readonly<Record<Exclude<Use, "claim">, string>> = {
  shared: "·",
  kept: "=",
  idle: "_",
  draining: "~",
  reserved: "#",
  offline: "x",
};
const WORDS: Readonly<Record<Exclude<Use, "claim">, string>> = {
  shared: "shared by all others",
  kept: "shared, never a claim's",
  idle: "kept idle beside its claim's sibling",
  draining: "released, containers of it still live",
  reserved: "reserved",
  offline: "offline",
};
/** Red is for what is wrong. */
const HUES: readonly Style[] = [
  ["bgCyan", "black"],
  ["bgYellow", "black"],
  ["bgMagenta", "white"],
  ["bgGreen", "black"],
  ["bgBlue", "white"],
  ["bgWhite", "black"],
  ["bgCyanBright", "black"],
  ["bgYellowBright", "black"],
  ["bgMagentaBright", "black"],
  ["bgBlueBright", "black"],
];

export interface MapOptions {
  /** Columns of the terminal. */
  readonly width: number;
  readonly fold: boolean;
  readonly nowMs: number;
}

/** The machine as it is nested, one glyph a thread, threads of a core side by side; below it who is who, and what is wrong. */
export function printMap(picture: Picture, options: MapOptions): string {
  const draw = new Drawing(picture, options);
  const { machine } = picture;
  const leaf = machine.boxes.every((box) => box.kind === "Core");
  const boxes: readonly BoxView[] = leaf
    ? [{ names: ["Machine"], kind: "Machine", cpus: machine.online, boxes: machine.boxes }]
    : machine.boxes;
  const offline = picture.threads.filter((thread) => thread.use === "offline");
  return [
    `${styled("bold", plain(picture.node))}   ${machine.about}`,
    headLine(picture, options.nowMs),
    "",
    ...boxes.flatMap((box) => draw.box(box, "")),
    ...(offline.length === 0 ? [] : [`offline   ${offline.map((thread) => thread.cpu).join(" ")}`]),
    "",
    ...legend(picture),
    ...(picture.findings.length === 0 ? [] : ["", ...findingLines(picture.findings)]),
  ].join("\n");
}

export function headLine(picture: Picture, nowMs: number): string {
  const { agent, driver } = picture;
  return [
    `as of ${clock(picture.asOfMs)} (${age(nowMs - picture.asOfMs)} ago)`,
    driver.isRunning ? `driver ${driver.version}` : styled("red", "driver away"),
    agent.isRunning
      ? `agent ${agent.version}, ${agent.session === "synchronized" ? "synchronized" : styled("red", agent.session)}, lever ${agent.lever}`
      : styled("red", "agent away"),
  ].join("   ");
}

class Drawing {
  readonly #threads: ReadonlyMap<number, ThreadView>;
  readonly #claims: ReadonlyMap<string, ClaimView>;
  readonly #o: MapOptions;

  constructor(picture: Picture, options: MapOptions) {
    this.#threads = new Map(picture.threads.map((thread) => [thread.cpu, thread]));
    this.#claims = new Map(picture.claims.map((claim) => [claim.uid, claim]));
    this.#o = options;
  }

  /** A box that holds cores alone is a segment of a line; boxes of such boxes are a line each, the others a heading. */
  box(box: BoxView, indent: string): string[] {
    const label = box.names.join(" + ");
    if (holdsCores(box)) return this.#line(`${indent}${label}`, [this.#segment(box, "")]);
    if (box.boxes.every(holdsCores)) {
      const segments = box.boxes.map((one) => this.#segment(one, `${one.names.join(" + ").replace(/ \(.*?\)/g, "")} `));
      return this.#line(`${indent}${label}`, segments);
    }
    return [`${indent}${label}`, ...box.boxes.flatMap((one) => this.box(one, `${indent}  `))];
  }

  #line(label: string, segments: readonly Segment[]): string[] {
    const head = label.length > 14 && label.length + (segments[0]?.width ?? 0) + 4 > this.#o.width ? "" : label;
    const start = Math.max(head.length, 14) + 2;
    const lines: string[] = head === "" ? [label] : [];
    let text = head.padEnd(start);
    let width = start;
    let isFirst = true;
    for (const segment of segments) {
      if (!isFirst && width + segment.width + 3 > this.#o.width) {
        lines.push(text.trimEnd());
        text = " ".repeat(start);
        width = start;
        isFirst = true;
      }
      text += (isFirst ? "" : styled("dim", " │ ")) + segment.text;
      width += segment.width + (isFirst ? 0 : 3);
      isFirst = false;
    }
    return [...lines, text];
  }

  #segment(box: BoxView, label: string): Segment {
    const parts: Segment[] = [];
    const cores = coresOf(box);
    for (let n = 0; n < cores.length;) {
      const same = this.#o.fold ? this.#alike(cores, n) : 1;
      const folded = same >= FOLD_FROM;
      const core = this.#core(cores[n]);
      parts.push(folded ? { text: `${core.text}×${same}`, width: core.width + 1 + String(same).length } : core);
      n += folded ? same : 1;
    }
    return {
      text: (label === "" ? "" : styled("dim", label)) + parts.map((one) => one.text).join(" "),
      width: label.length + parts.reduce((sum, one) => sum + one.width + 1, -1),
    };
  }

  /** How many cores from `first` on are idle and alike. */
  #alike(cores: readonly BoxView[], first: number): number {
    const kind = (core: BoxView | undefined): string => {
      const threads = this.#threadsOf(core);
      return threads.every((one) => one.use === "shared" && one.wrong === undefined) ? String(threads.length) : "";
    };
    const wanted = kind(cores[first]);
    if (wanted === "") return 1;
    let n = first;
    while (n < cores.length && kind(cores[n]) === wanted) n += 1;
    return n - first;
  }

  #core(core: BoxView | undefined): Segment {
    const threads = this.#threadsOf(core);
    return { text: threads.map((thread) => this.#glyph(thread)).join(""), width: threads.length };
  }

  #threadsOf(core: BoxView | undefined): ThreadView[] {
    return core === undefined ? [] : idsOf(core.cpus).flatMap((cpu) => this.#threads.get(cpu) ?? []);
  }

  #glyph(thread: ThreadView): string {
    if (thread.wrong !== undefined) return styled(["bgRed", "white", "bold"], "!");
    const claim = this.#claims.get(thread.claim ?? "");
    const glyph = thread.use === "claim" ? (claim?.mark ?? "?") : GLYPHS[thread.use];
    if (claim !== undefined) return styled(hueOf(claim), glyph);
    return thread.use === "shared" ? glyph : styled("dim", glyph);
  }
}

interface Segment {
  readonly text: string;
  readonly width: number;
}

function holdsCores(box: BoxView): boolean {
  return box.kind !== "Core" && box.boxes.every((one) => one.kind === "Core" || (isInner(one) && holdsCores(one)));
}

/** Clusters and level 2 caches are not drawn. */
function isInner(box: BoxView): boolean {
  return box.kind === "L2" || box.kind === "Cluster";
}

function coresOf(box: BoxView): BoxView[] {
  return box.kind === "Core" ? [box] : box.boxes.flatMap(coresOf);
}

function idsOf(list: string): number[] {
  return list.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, n) => first + n);
  });
}

function hueOf(claim: ClaimView): Style {
  return HUES[claim.hue % HUES.length] ?? "inverse";
}

function legend(picture: Picture): string[] {
  const count = new Map<Use, number>();
  for (const thread of picture.threads) count.set(thread.use, (count.get(thread.use) ?? 0) + 1);
  const uses = (Object.keys(GLYPHS) as Exclude<Use, "claim">[])
    .filter((use) => use === "shared" || count.has(use))
    .map((use) => `${GLYPHS[use]} ${WORDS[use]} (${count.get(use) ?? 0})`);
  const isWrong = picture.threads.some((thread) => thread.wrong !== undefined);
  const rows = columns([
    ["", "CLAIM", "STATE", "CPUS", "LIST", "PODS"],
    ...picture.claims.map((claim) => [
      claim.mark,
      `${claim.namespace}/${claim.name}`,
      claim.phase,
      String(claim.count),
      claim.cpus,
      claim.pods.join(", "),
    ]),
  ]);
  return [
    uses.join("   ") + (isWrong ? `   ${styled("red", "! something may run there that should not")}` : ""),
    ...(picture.machine.isolated === "" ? [] : [`isolated by the kernel's command line: ${picture.machine.isolated}`]),
    ...(picture.claims.length === 0
      ? ["no claim holds CPUs"]
      : ["", ...rows.map((row, n) => colourMark(row, picture.claims[n - 1]))]),
  ];
}

function colourMark(row: string, claim: ClaimView | undefined): string {
  return claim === undefined ? row.replace(/^-/, " ") : styled(hueOf(claim), row.slice(0, 1)) + row.slice(1);
}
