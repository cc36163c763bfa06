import { html, nothing, render, type TemplateResult } from "lit-html";
import { live } from "lit-html/directives/live.js";
import type { Picture } from "../../picture/picture.ts";
import type { Numbered } from "../../picture/timeline.ts";
import { claims, containers, findings, timeline } from "./lists.ts";
import { drawing, legend, table } from "./machine.ts";
import { find, timeOf, type View, type Wishes } from "./view.ts";

/** Nothing was heard for this long: what is shown may be wrong. The server says something every half second. */
const STALE_MS = 3000;
const AGE_MS = 200;
const MAX_ENTRIES = 1000;
const COME_BACK_MS = 2000;

const root = document.getElementById("page") ?? document.body;
let picture: Picture | undefined;
let entries: readonly Numbered[] = [];
let trouble = "";
/** When the last word came, by the clock that only goes forward; and how old it was then, both by the node's own clock. */
let heardAt = performance.now();
let wasMs = 0;
let pending = false;

const asked = new URLSearchParams(location.hash.slice(1));
let query = asked.get("q") ?? (asked.has("cpu") ? `cpu=${asked.get("cpu") ?? ""}` : "");
let asTable = asked.get("view") === "table";
let fold = asked.get("fold") !== "no";

const wishes: Wishes = {
  search: (next) => {
    query = next;
    changed();
  },
  showTable: (next) => {
    asTable = next;
    changed();
  },
  foldIdle: (next) => {
    fold = next;
    changed();
  },
};

/** The address says what is looked at, so that it can be given to somebody else. */
function changed(): void {
  const words = new URLSearchParams();
  if (query !== "") words.set("q", query);
  if (asTable) words.set("view", "table");
  if (!fold) words.set("fold", "no");
  history.replaceState(null, "", `#${words.toString()}`);
  soon();
}

function soon(): void {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    draw();
  });
}

function draw(): void {
  if (picture === undefined) {
    render(html`<main><p class="nothing">${trouble === "" ? "Asking the driver …" : trouble}</p></main>`, root);
    return;
  }
  document.title = `${picture.findings.some((one) => one.severity === "wrong") ? "✗ " : ""}${picture.node} · dracpu`;
  render(page({ picture, entries, query, asTable, fold }), root);
  age();
}

function page(view: View): TemplateResult {
  const { agent, driver, machine, node } = view.picture;
  const found = find(view);
  const chip = (good: boolean, text: string): TemplateResult =>
    html`<li class=${good ? "good" : "bad"}>${good ? "✔" : "✗"} ${text}</li>`;
  return html`<header>
      <h1>${node}</h1>
      <p class="about">${machine.about}</p>
      <ul class="chips">
        ${chip(driver.isRunning, driver.isRunning ? `driver ${driver.version}` : "driver away")}
        ${chip(agent.isRunning, agent.isRunning ? `agent ${agent.version}` : "agent away")}
        ${agent.isRunning ? chip(agent.session === "synchronized", `${agent.runtime}: ${agent.session}`) : nothing}
        ${agent.isRunning ? html`<li title=${agent.leverWhy}>lever ${agent.lever}</li>` : nothing}
        ${
          agent.isRunning
            ? html`<li>
                ${agent.counters.escapes} escapes, ${agent.counters.repairs} repairs, ${agent.counters.refusals}
                refusals
              </li>`
            : nothing
        }
      </ul>
      <p class="age" id="age" role="status"></p>
    </header>
    <main>
      ${findings(view)}
      <section aria-labelledby="machine" class="whole">
        <h2 id="machine">Machine</h2>
        <form class="tools" role="search" @submit=${(event: Event) => event.preventDefault()}>
          <label
            >Find
            <input
              type="search"
              placeholder="pod, claim, namespace, cpu=8"
              .value=${live(view.query)}
              @input=${(event: Event) => wishes.search((event.target as HTMLInputElement).value)}
          /></label>
          <label
            ><input
              type="checkbox"
              .checked=${live(view.asTable)}
              @change=${(event: Event) => wishes.showTable((event.target as HTMLInputElement).checked)}
            />
            as a table</label
          >
          <label
            ><input
              type="checkbox"
              .checked=${live(view.fold)}
              @change=${(event: Event) => wishes.foldIdle((event.target as HTMLInputElement).checked)}
            />
            fold idle cores</label
          >
        </form>
        ${view.asTable ? table(view, found) : [drawing(view, found, wishes.search), legend(view.picture)]}
      </section>
      ${claims(view, found, wishes.search)} ${timeline(view)} ${containers(view, found)}
    </main>`;
}

function age(): void {
  const silent = performance.now() - heardAt;
  const isStale = silent > STALE_MS;
  document.documentElement.classList.toggle("stale", isStale);
  const line = document.getElementById("age");
  if (line === null || picture === undefined) return;
  const seconds = ((wasMs + silent) / 1000).toFixed(1);
  const text = isStale
    ? `Nothing heard for ${(silent / 1000).toFixed(0)} s: this is how it was at ${timeOf(picture.asOfMs)}. Connecting again …`
    : `as of ${seconds} s ago`;
  if (line.textContent !== text) line.textContent = text;
}

function heard(nodeMs: number, agentMs: number): void {
  heardAt = performance.now();
  wasMs = agentMs === 0 ? 0 : Math.max(0, nodeMs - agentMs);
}

function connect(): void {
  const source = new EventSource("live");
  const on = (name: string, take: (data: string) => void): void =>
    source.addEventListener(name, (event) => take((event as MessageEvent<string>).data));
  on("picture", (data) => {
    picture = JSON.parse(data) as Picture;
    heard(picture.asOfMs, picture.agent.asOfMs);
    soon();
  });
  on("tick", (data) => {
    const { asOfMs, agentAsOfMs } = JSON.parse(data) as { asOfMs: number; agentAsOfMs: number };
    heard(asOfMs, agentAsOfMs);
  });
  on("entries", (data) => {
    const told = JSON.parse(data) as { isFirst: boolean; entries: Numbered[] };
    entries = [...(told.isFirst ? [] : entries), ...told.entries].slice(-MAX_ENTRIES);
    soon();
  });
  on("trouble", (data) => {
    trouble = (JSON.parse(data) as { why: string }).why;
    soon();
  });
  // A browser gives up by itself after an answer that is no stream.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, COME_BACK_MS);
  });
}

addEventListener("hashchange", () => {
  const words = new URLSearchParams(location.hash.slice(1));
  query = words.get("q") ?? (words.has("cpu") ? `cpu=${words.get("cpu") ?? ""}` : "");
  asTable = words.get("view") === "table";
  fold = words.get("fold") !== "no";
  soon();
});
setInterval(age, AGE_MS);
draw();
connect();
