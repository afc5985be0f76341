// The chat: what was said, what is being answered, and what the form does.

import { ServerError, streamChat } from "./api.js";
import { Answer } from "./answer.js";
import { curlOf } from "./curl.js";
import { byId } from "./elements.js";
import { keepParameters, readParameters } from "./parameters.js";
import * as transcript from "./transcript.js";

const KEPT = "radixloom.conversation";

export class Chat {
  #messages = [];
  #model = null;
  #stopping = null;
  #onUnauthorized;

  /** `onUnauthorized` is called with what the server says when it wants a key. */
  constructor(onUnauthorized) {
    this.#onUnauthorized = onUnauthorized;
    keepParameters();
    this.#restore();
    this.#listen();
  }

  serve(model) {
    this.#model = model;
    byId("model-name").textContent = model;
  }

  #listen() {
    const prompt = byId("prompt");
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send(prompt.value);
    });
    prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send(prompt.value);
    });
    prompt.addEventListener("input", () => fit(prompt));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#stopping?.abort();
    });
    byId("stop").addEventListener("click", () => this.#stopping?.abort());
    byId("new-conversation").addEventListener("click", () => this.#restart());
    for (const example of document.querySelectorAll(".examples button")) {
      example.addEventListener("click", () => this.#send(example.textContent));
    }
  }

  #restore() {
    this.#messages = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
    for (const { role, content } of this.#messages) {
      if (role === "user") transcript.addUser(content);
      else new transcript.AnswerTurn().restore(content);
    }
  }

  #restart() {
    this.#stopping?.abort();
    this.#keep([]);
    transcript.clear();
    byId("prompt").focus();
  }

  #keep(messages) {
    this.#messages = messages;
    sessionStorage.setItem(KEPT, JSON.stringify(messages));
  }

  #request(text) {
    const { system, sampling } = readParameters();
    const messages = [...this.#messages, { role: "user", content: text }];
    if (system) messages.unshift({ role: "system", content: system });
    const options = { stream: true, stream_options: { include_usage: true } };
    return { model: this.#model ?? "", messages, ...sampling, ...options };
  }

  async #send(text) {
    if (!text.trim() || this.#stopping) return;
    const said = { role: "user", content: text };
    const before = this.#messages;
    const request = this.#request(text);
    const user = transcript.addUser(text);
    this.#prompt("");
    this.#begin();
    const answer = new Answer(performance.now());
    const turn = new transcript.AnswerTurn();
    let problem = null;
    try {
      await this.#receive(request, answer, turn);
    } catch (error) {
      problem = error;
    }
    const isCurrent = this.#messages === before; // else a new conversation has begun
    this.#finish();
    if (!isCurrent) return;
    if (problem && !answer.content && !answer.reasoning) {
      turn.remove();
      user.remove();
      if (!byId("prompt").value) this.#prompt(text);
    } else {
      turn.end(answer, curlOf(request));
      this.#keep([...before, said, { role: "assistant", content: answer.content }]);
    }
    if (problem) this.#tell(problem);
    else announce(`Answer: ${answer.content}`);
  }

  async #receive(request, answer, turn) {
    try {
      for await (const chunk of streamChat(request, this.#stopping.signal)) {
        answer.take(chunk, performance.now());
        turn.show(answer);
      }
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      answer.finish = "you";
      if (!answer.content && !answer.reasoning) throw error;
    }
  }

  #tell(problem) {
    if (problem.name === "AbortError") return announce("Stopped.");
    if (problem.status === 401) this.#onUnauthorized(problem.message);
    transcript.addProblem(titleOf(problem), problem.message);
    return undefined;
  }

  #begin() {
    this.#stopping = new AbortController();
    byId("send").hidden = true;
    byId("stop").hidden = false;
    announce("Answering.");
  }

  #finish() {
    const hadFocus = document.activeElement === byId("stop");
    this.#stopping = null;
    byId("stop").hidden = true;
    byId("send").hidden = false;
    if (hadFocus) byId("prompt").focus();
  }

  #prompt(text) {
    byId("prompt").value = text;
    fit(byId("prompt"));
  }
}

/** As high as its text, within what the styles allow. */
function fit(textarea) {
  textarea.style.height = "auto";
  textarea.style.height = `${textarea.scrollHeight}px`;
}

function announce(text) {
  byId("announcer").textContent = text;
}

function titleOf(problem) {
  if (!(problem instanceof ServerError)) return "The server cannot be reached";
  const where = [problem.code, problem.param].filter(Boolean).join(", ");
  return `Error ${problem.status}${where ? ` (${where})` : ""}`;
}
