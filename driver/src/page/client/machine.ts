import { html, nothing, type TemplateResult } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import type { BoxView, ClaimView, Picture, ThreadView, Use } from "../../picture/picture.ts";
import { idsOf, listOf, type Found, type View } from "./view.ts";

/** Idle cores that are alike and stand beside each other are one from this many on. */
const FOLD_FROM = 5;
/** Machines with more CPUs are drawn smaller, without the numbers. */
const DENSE_FROM = 129;

const GLYPHS: Readonly<Record<Exclude<Use, "claim">, string>> = {
  shared: "·",
  kept: "=",
  idle: "–",
  draining: "~",
  reserved: "#",
  offline: "×",
};

export const USES: Readonly<Record<Use, string>> = {
  shared: "shared by all others",
  kept: "shared, never a claim's",
  claim: "a claim's alone",
  idle: "kept idle beside its claim's sibling",
  draining: "released, containers of it still live",
  reserved: "reserved",
  offline: "offline",
};

/** The machine as it is nested, each thread with its owner's colour and mark. The table says the same to those who cannot see it. */
export function drawing(view: View, found: Found | undefined, pick: (query: string) => void): TemplateResult {
  const { picture } = view;
  const scene = new Scene(view, found);
  const offline = picture.threads.filter((one) => one.use === "offline");
  const clicked = (event: Event): void => {
    const cpu = (event.target as Element).closest("[data-cpu]")?.getAttribute("data-cpu");
    const thread = picture.threads.find((one) => String(one.cpu) === cpu);
    const claim = picture.claims.find((one) => one.uid === thread?.claim);
    if (thread !== undefined) pick(claim === undefined ? `cpu=${thread.cpu}` : `${claim.namespace}/${claim.name}`);
  };
  return html`<div
    class="machine ${picture.threads.length >= DENSE_FROM ? "dense" : ""}"
    role="img"
    aria-label="The machine: ${picture.machine.about}. The table view says the same in words."
    @click=${clicked}
  >
    ${picture.machine.boxes.map((box) => scene.box(box))}
    ${
      offline.length === 0
        ? nothing
        : html`<div class="box leaf">
            <div class="name">offline</div>
            <div class="cores"><div class="core">${offline.map((one) => scene.thread(one))}</div></div>
          </div>`
    }
  </div>`;
}

class Scene {
  readonly #threads: ReadonlyMap<number, ThreadView>;
  readonly #claims: ReadonlyMap<string, ClaimView>;
  readonly #found: Found | undefined;
  readonly #fold: boolean;

  constructor({ picture, fold }: View, found: Found | undefined) {
    this.#threads = new Map(picture.threads.map((one) => [one.cpu, one]));
    this.#claims = new Map(picture.claims.map((one) => [one.uid, one]));
    this.#found = found;
    this.#fold = fold && found === undefined;
  }

  box(box: BoxView): TemplateResult {
    if (box.kind === "Core") return html`<div class="cores">${this.#core(box, 1)}</div>`;
    const leaf = box.boxes.every((one) => one.kind === "Core");
    return html`<div class="box ${leaf ? "leaf" : ""}">
      <div class="name">${box.names.join(" · ")}</div>
      ${leaf ? html`<div class="cores">${this.#cores(box.boxes)}</div>` : html`<div class="boxes">${box.boxes.map((one) => this.box(one))}</div>`}
    </div>`;
  }

  #cores(cores: readonly BoxView[]): unknown {
    const runs: { readonly core: BoxView; readonly count: number }[] = [];
    for (let n = 0; n < cores.length;) {
      const [core] = cores.slice(n, n + 1);
      if (core === undefined) break;
      const same = this.#fold ? this.#alike(cores, n) : 1;
      const count = same >= FOLD_FROM ? same : 1;
      runs.push({ core, count });
      n += count;
    }
    return repeat(
      runs,
      (run) => `${run.core.cpus} ${run.count}`,
      (run) => this.#core(run.core, run.count),
    );
  }

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

  #core(core: BoxView, count: number): TemplateResult {
    return html`<div
      class="core"
      title=${count > 1 ? `${count} idle cores, the first is CPUs ${core.cpus}` : core.names.join(", ")}
    >
      ${this.#threadsOf(core).map((one) => this.thread(one))}
      ${count > 1 ? html`<span class="count">×${count}</span>` : nothing}
    </div>`;
  }

  #threadsOf(core: BoxView | undefined): ThreadView[] {
    return core === undefined ? [] : idsOf(core.cpus).flatMap((cpu) => this.#threads.get(cpu) ?? []);
  }

  thread(one: ThreadView): TemplateResult {
    const claim = this.#claims.get(one.claim ?? "");
    const glyph = one.wrong !== undefined ? "!" : one.use === "claim" ? (claim?.mark ?? "?") : GLYPHS[one.use];
    const hue = claim === undefined ? "" : `hue${claim.hue}`;
    const isFound = this.#found?.cpus.has(one.cpu);
    const classes = [
      "thread",
      `use-${one.use}`,
      hue,
      one.wrong === undefined ? "" : "wrong",
      one.isolated === true ? "isolated" : "",
      isFound === undefined ? "" : isFound ? "found" : "dim",
    ];
    return html`<span class=${classes.join(" ")} data-cpu=${one.cpu} title=${tip(one, claim)}
      >${glyph}<small>${one.cpu}</small></span
    >`;
  }
}

function tip(one: ThreadView, claim: ClaimView | undefined): string {
  return [
    `CPU ${one.cpu}: ${USES[one.use]}`,
    ...(claim === undefined ? [] : [`claim ${claim.namespace}/${claim.name}, pods ${claim.pods.join(", ")}`]),
    ...(one.isolated === true ? ["isolated by the kernel's command line"] : []),
    ...(one.wrong ?? []),
  ].join("\n");
}

/** What the drawing shows, by the smallest boxes that hold cores. */
export function table(view: View, found: Found | undefined): TemplateResult {
  const { picture } = view;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table of CPUs">
    <table>
      <caption>
        CPUs and their owners
      </caption>
      <thead>
        <tr>
          <th scope="col">Where</th>
          <th scope="col">CPUs</th>
          <th scope="col">Use</th>
          <th scope="col">Claim</th>
          <th scope="col">Wrong</th>
        </tr>
      </thead>
      <tbody>
        ${rowsOf(picture)
          .filter((row) => found === undefined || row.cpus.some((cpu) => found.cpus.has(cpu)))
          .map(
            (row) =>
              html`<tr class=${row.wrong === "" ? "" : "bad"}>
                <th scope="row">${row.where}</th>
                <td>${listOf(row.cpus)}</td>
                <td>${USES[row.use]}</td>
                <td>${row.claim}</td>
                <td>${row.wrong}</td>
              </tr>`,
          )}
      </tbody>
    </table>
  </div>`;
}

interface Row {
  readonly where: string;
  readonly use: Use;
  readonly claim: string;
  readonly wrong: string;
  readonly cpus: number[];
}

function rowsOf(picture: Picture): Row[] {
  const claims = new Map(picture.claims.map((one) => [one.uid, `${one.namespace}/${one.name}`]));
  const places = new Map<number, string>();
  const visit = (box: BoxView, above: string): void => {
    const name = box.names.map((one) => one.replace(/ \(.*\)/, "")).join(", ");
    const where = box.kind === "Core" ? above : above === "" ? name : `${above}, ${name}`;
    if (box.boxes.length === 0) for (const cpu of idsOf(box.cpus)) places.set(cpu, where);
    for (const one of box.boxes) visit(one, where);
  };
  for (const box of picture.machine.boxes) visit(box, "");
  const rows = new Map<string, Row>();
  for (const one of picture.threads) {
    const row: Row = {
      where: places.get(one.cpu) ?? "",
      use: one.use,
      claim: claims.get(one.claim ?? "") ?? "",
      wrong: (one.wrong ?? []).join("; "),
      cpus: [],
    };
    const key = JSON.stringify(row);
    const known = rows.get(key) ?? row;
    known.cpus.push(one.cpu);
    rows.set(key, known);
  }
  return [...rows.values()].sort((a, b) => (a.where < b.where ? -1 : a.where > b.where ? 1 : 0));
}

export function legend(picture: Picture): TemplateResult {
  const used = new Set<Use>(picture.threads.map((one) => one.use));
  const uses = (Object.keys(GLYPHS) as Exclude<Use, "claim">[]).filter((use) => used.has(use));
  return html`<ul class="legend">
    ${uses.map(
      (use) => html`<li><span class="thread use-${use}" aria-hidden="true">${GLYPHS[use]}</span> ${USES[use]}</li>`,
    )}
    ${
      picture.machine.isolated === ""
        ? nothing
        : html`<li>
            <span class="thread use-shared isolated" aria-hidden="true">·</span> isolated by the kernel's command line
          </li>`
    }
  </ul>`;
}
