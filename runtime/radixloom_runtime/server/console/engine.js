// The engine's view: asks while it is looked at, and not otherwise.

import { getJson } from "./api.js";
import { Chart } from "./chart.js";
import { byId, element } from "./elements.js";
import { FIGURES, Sampler } from "./series.js";
import { showTree } from "./tree.js";

const SECOND = 1000;
const FACTS = [
  ["model", "served_model_name"],
  ["device", "device"],
  ["context", "context_length"],
  ["requests at once", "max_running_requests"],
  ["KV cache, tokens", "max_total_num_tokens"],
  ["tokens a page", "page_size"],
  ["numbers", "dtype"],
  ["KV numbers", "kv_cache_dtype"],
  ["release", "version"],
];

export class EngineView {
  #charts = FIGURES.map((figure) => new Chart(figure));
  #sampler = new Sampler();
  #timer = 0;
  #turn = 0;
  #onUnauthorized;

  constructor(onUnauthorized) {
    this.#onUnauthorized = onUnauthorized;
    byId("charts").append(...this.#charts.map((chart) => chart.node));
  }

  /** Begin or end to ask. */
  watch(isWatching) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (isWatching) this.#look();
  }

  async #look() {
    const timer = setTimeout(() => this.#look(), SECOND);
    this.#timer = timer;
    try {
      await this.#ask();
      byId("engine-notice").hidden = true;
    } catch (problem) {
      this.#tell(problem);
      if (problem.status !== 401 && problem.status !== 404) return;
      if (this.#timer === timer) this.watch(false); // asking again would be no use
    }
  }

  async #ask() {
    const report = await getJson("get_engine_stats");
    if (report.stats.kv_tokens_total) this.#chart(report);
    if (this.#turn % 2 === 0) showTree(await getJson("get_prefix_tree"));
    if (this.#turn % 30 === 0) showFacts(await getJson("get_server_info"));
    this.#turn += 1;
  }

  #chart(report) {
    const sample = this.#sampler.sample(report);
    for (const chart of this.#charts) chart.push(sample);
    const rows = FIGURES.map(({ title }, index) => {
      const cells = this.#charts[index].summary().map((text) => element("td", {}, text));
      return element("tr", {}, element("th", { scope: "row" }, title), ...cells);
    });
    byId("figures").replaceChildren(...rows);
  }

  #tell(problem) {
    if (problem.status === 401) this.#onUnauthorized(problem.message);
    byId("engine-notice").textContent = problem.message;
    byId("engine-notice").hidden = false;
  }
}

function showFacts(info) {
  const pairs = FACTS.filter(([, name]) => name in info).map(([title, name]) => {
    const value = typeof info[name] === "number" ? info[name].toLocaleString("en") : info[name];
    return element("div", {}, element("dt", {}, title), element("dd", {}, value));
  });
  byId("facts").replaceChildren(...pairs);
}
