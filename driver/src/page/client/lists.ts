import { html, nothing, type TemplateResult } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import type { ClaimView, ContainerView } from "../../picture/picture.ts";
import { nameOf, timeOf, type Found, type View } from "./view.ts";

/** Rows of a list that are shown; the rest is counted, and found by searching. */
const MAX_CONTAINERS = 100;
const MAX_ENTRIES = 60;

function headline(count: number): string {
  if (count === 0) return "Driver, agent and kernel agree";
  return count === 1 ? "One thing is not as it should be" : `${count} things are not as they should be`;
}

/** What is wrong, above everything else. */
export function findings({ picture }: View): TemplateResult {
  const worst = [...picture.findings].sort((a, b) => Number(b.severity === "wrong") - Number(a.severity === "wrong"));
  return html`<section aria-labelledby="wrong" aria-live="polite" class="findings ${worst.length === 0 ? "none" : ""}">
    <h2 id="wrong">${headline(worst.length)}</h2>
    ${
      worst.length === 0
        ? nothing
        : html`<ul>
            ${worst.map(
              (one) =>
                html`<li class=${one.severity}>
                  <strong>${one.severity === "wrong" ? "✗" : "!"} ${one.title}</strong> <code>${one.code}</code>
                  <p>${one.text}</p>
                  <p class="todo">${one.action}</p>
                </li>`,
            )}
          </ul>`
    }
  </section>`;
}

export function claims({ picture }: View, found: Found | undefined, pick: (query: string) => void): TemplateResult {
  const shown = picture.claims.filter((one) => found === undefined || found.claims.has(one.uid));
  const row = (one: ClaimView): TemplateResult =>
    html`<tr class=${one.phase === "draining" ? "leaving" : ""}>
      <td><span class="thread use-claim hue${one.hue}" aria-hidden="true">${one.mark}</span></td>
      <th scope="row">
        <button type="button" class="link" @click=${() => pick(`${one.namespace}/${one.name}`)}>
          ${one.namespace}/${one.name}
        </button>
      </th>
      <td>${one.phase}${one.isolated ? ", isolated" : ""}</td>
      <td class="list">${one.cpus}${one.idle === "" ? "" : ` (idle ${one.idle})`}</td>
      <td>${one.numaNodes.join(", ")}</td>
      <td>${one.pods.join(", ")}</td>
    </tr>`;
  return html`<section aria-labelledby="claims">
    <h2 id="claims">Claims <span class="tally">${shown.length}</span></h2>
    ${
      shown.length === 0
        ? html`<p class="nothing">${found === undefined ? "No claim holds CPUs." : "No claim fits."}</p>`
        : html`<div class="scroll" tabindex="0" role="region" aria-label="Claims">
            <table>
              <thead>
                <tr>
                  <td></td>
                  <th scope="col">Claim</th>
                  <th scope="col">State</th>
                  <th scope="col">CPUs</th>
                  <th scope="col">NUMA</th>
                  <th scope="col">Pods</th>
                </tr>
              </thead>
              <tbody>
                ${repeat(shown, (one) => one.uid, row)}
              </tbody>
            </table>
          </div>`
    }
  </section>`;
}

export function containers({ picture }: View, found: Found | undefined): TemplateResult {
  const rank = (one: ContainerView): number =>
    one.outside !== "" || one.problem !== "" ? 0 : one.role === "claim" ? 1 : 2;
  const fitting = picture.containers
    .filter((one) => found === undefined || found.containers.has(one.id))
    .sort((a, b) => rank(a) - rank(b));
  const row = (one: ContainerView): TemplateResult =>
    html`<tr class=${one.outside === "" && one.problem === "" ? "" : "bad"}>
      <th scope="row">${nameOf(one)}</th>
      <td>${one.phase}, ${one.role}${one.partition === "" ? "" : `, partition ${one.partition}`}</td>
      <td class="list">${one.wanted}</td>
      <td class="list">
        ${one.effective === "" ? "not read" : one.effective === one.wanted ? "the same" : one.effective}
      </td>
      <td>
        ${one.outside === "" ? nothing : html`<strong>may run on ${one.outside} and should not</strong>`} ${one.problem}
      </td>
    </tr>`;
  const left = fitting.length - MAX_CONTAINERS;
  return html`<section aria-labelledby="containers" class="whole">
    <h2 id="containers">
      Containers <span class="tally">${fitting.length}${picture.agent.truncated ? " and more" : ""}</span>
    </h2>
    ${
      fitting.length === 0
        ? html`<p class="nothing">${found === undefined ? "The agent knows of none." : "No container fits."}</p>`
        : html`<div class="scroll" tabindex="0" role="region" aria-label="Containers">
            <table>
              <thead>
                <tr>
                  <th scope="col">Container</th>
                  <th scope="col">State</th>
                  <th scope="col">Wanted</th>
                  <th scope="col">Effective</th>
                  <th scope="col">Problem</th>
                </tr>
              </thead>
              <tbody>
                ${repeat(fitting.slice(0, MAX_CONTAINERS), (one) => one.id, row)}
              </tbody>
            </table>
          </div>`
    }
    ${left > 0 ? html`<p class="nothing">and ${left} more; search for them</p>` : nothing}
  </section>`;
}

export function timeline({ entries, query }: View): TemplateResult {
  const words = query
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "" && !word.startsWith("cpu="));
  const shown = entries
    .filter((one) => words.every((word) => `${one.pod} ${one.claim} ${one.container}`.toLowerCase().includes(word)))
    .slice(-MAX_ENTRIES)
    .reverse();
  return html`<section aria-labelledby="timeline">
    <h2 id="timeline">What happened</h2>
    ${
      shown.length === 0
        ? html`<p class="nothing">Nothing yet.</p>`
        : html`<ol class="timeline" tabindex="0" aria-label="What happened, newest first">
            ${repeat(
              shown,
              (one) => one.seq,
              (one) =>
                html`<li class=${one.code === "" ? "" : "bad"}>
                  <time>${timeOf(one.timeMs)}</time> <b>${one.kind}</b>
                  <bdi>${one.pod === "" ? one.claim : `${one.pod}/${one.container}`}</bdi>
                  <span class="said">${one.text}</span>
                  ${one.code === "" ? nothing : html`<code>${one.code}</code>`}
                </li>`,
            )}
          </ol>`
    }
  </section>`;
}
