// The engine's figures over time: what reports of levels and totals become on the charts.

export const WINDOW = 120;
const HIT_RATE_SECONDS = 15;

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const count = (value) => value.toFixed(0);
const rate = (value) => (value < 100 ? value.toFixed(1) : value.toFixed(0));

/** `values` are drawn on top of each other; the first is the one told. */
export const FIGURES = [
  { id: "running", title: "Running requests", format: count, floor: 4 },
  { id: "waiting", title: "Waiting requests", format: count, floor: 4 },
  { id: "output", title: "Output tokens/s", format: rate, floor: 10 },
  { id: "prompt", title: "Prompt tokens/s", format: rate, floor: 10 },
  { id: "kv", title: "KV cache in use", format: percent, ceiling: 1, beside: "kvCached", besideTitle: "cached" },
  { id: "hits", title: "Prefix hit rate", format: percent, ceiling: 1 },
];

/** Makes a sample of each report and those before it. */
export class Sampler {
  #reports = [];
  #rates = { output: 0, prompt: 0 };

  sample({ at_seconds: at, stats }) {
    const last = this.#reports.at(-1);
    if (last && stats.steps < last.stats.steps) this.#reports = []; // another engine: it began anew
    else if (last && at > last.at) this.#measure(last, at, stats);
    if (!last || at > last.at) this.#reports.push({ at, stats });
    this.#reports = this.#reports.filter((report) => at - report.at <= HIT_RATE_SECONDS);
    return {
      running: stats.num_running,
      waiting: stats.num_waiting,
      ...this.#rates,
      kv: stats.kv_tokens_used / stats.kv_tokens_total,
      kvCached: stats.kv_tokens_cached / stats.kv_tokens_total,
      hits: this.#hitRate(),
    };
  }

  #measure(last, at, stats) {
    const seconds = at - last.at;
    this.#rates = {
      output: (stats.output_tokens - last.stats.output_tokens) / seconds,
      prompt: (stats.prompt_tokens - last.stats.prompt_tokens) / seconds,
    };
  }

  /** Of the prompts of the last seconds; null without any. */
  #hitRate() {
    const first = this.#reports[0]?.stats;
    const last = this.#reports.at(-1)?.stats;
    const tokens = last ? last.prompt_tokens - first.prompt_tokens : 0;
    return tokens ? (last.cached_tokens - first.cached_tokens) / tokens : null;
  }
}
