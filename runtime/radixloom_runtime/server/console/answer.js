// One answer while it comes: its text, its reasoning, what it used, and how long it took.

export class Answer {
  constructor(now) {
    this.content = "";
    this.reasoning = "";
    this.finish = null;
    this.usage = null;
    this.sentAt = now;
    this.firstAt = null;
    this.lastAt = null;
  }

  /** Take a chunk of the stream that came at `now`, in milliseconds. */
  take(chunk, now) {
    this.usage = chunk.usage ?? this.usage;
    const choice = chunk.choices[0];
    if (!choice) return;
    const { content = "", reasoning_content: reasoning = "" } = choice.delta;
    this.content += content ?? "";
    this.reasoning += reasoning ?? "";
    this.finish = choice.finish_reason ?? this.finish;
    if (content || reasoning) {
      this.firstAt ??= now;
      this.lastAt = now;
    }
  }

  /** What to tell below the answer: pairs of name and value. */
  numbers() {
    const told = [];
    if (this.usage) {
      const { prompt_tokens, completion_tokens, prompt_tokens_details: details } = this.usage;
      told.push(["prompt", prompt_tokens], ["cached", details?.cached_tokens ?? 0]);
      told.push(["completion", completion_tokens]);
    }
    if (this.firstAt !== null) told.push(["first token", duration(this.firstAt - this.sentAt)]);
    const speed = this.#tokensPerSecond();
    if (speed) told.push(["tokens/s", speed.toFixed(1)]);
    if (this.finish) told.push(["ended by", this.finish]);
    return told;
  }

  #tokensPerSecond() {
    const seconds = (this.lastAt - this.firstAt) / 1000;
    return this.usage && seconds > 0 ? (this.usage.completion_tokens - 1) / seconds : 0;
  }
}

const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);
