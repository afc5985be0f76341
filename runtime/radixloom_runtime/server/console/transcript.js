// The conversation as it is shown.

import { byId, element } from "./elements.js";
import { show } from "./markup.js";

const place = () => byId("transcript");

/** Whoever has scrolled up to read is left there. */
function following(change) {
  const box = place();
  const isScrolled = box.scrollHeight > box.clientHeight + 1;
  const scroller = isScrolled ? box : document.scrollingElement;
  const isAtEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
  change();
  if (isAtEnd) scroller.scrollTop = scroller.scrollHeight;
}

function add(node) {
  byId("welcome").hidden = true;
  following(() => place().append(node));
  return node;
}

export function clear() {
  for (const node of place().querySelectorAll(".turn, .problem")) node.remove();
  byId("welcome").hidden = false;
}

export function addUser(text) {
  const body = element("div", { class: "text" }, text);
  return add(element("article", { class: "turn user" }, element("h2", {}, "You"), body));
}

export function addProblem(title, message) {
  const node = element("div", { class: "problem", role: "alert" }, element("strong", {}, title));
  node.append(message);
  return add(node);
}

/** An answer's place: `show` as it comes, `end` when it has come. */
export class AnswerTurn {
  #text = element("div", { class: "text" });
  #thought = element("div", { class: "thought" });
  #reasoning = element(
    "details",
    { class: "reasoning", hidden: true },
    element("summary", {}, "Reasoning"),
    this.#thought,
  );
  #node = element("article", { class: "turn is-open" }, element("h2", {}, "Answer"));
  #frame = 0;

  constructor() {
    this.#node.append(this.#reasoning, this.#text);
    add(this.#node);
  }

  show(answer) {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw(answer);
    });
  }

  #draw(answer) {
    following(() => {
      show(this.#text, answer.content);
      this.#reasoning.hidden = !answer.reasoning;
      this.#thought.textContent = answer.reasoning;
    });
  }

  end(answer, curl) {
    cancelAnimationFrame(this.#frame);
    this.#draw(answer);
    this.#node.classList.remove("is-open");
    following(() => this.#node.append(numbersOf(answer), curlFold(curl)));
  }

  /** Show an answer of before the page was loaded anew. */
  restore(content) {
    show(this.#text, content);
    this.#node.classList.remove("is-open");
  }

  remove() {
    cancelAnimationFrame(this.#frame);
    this.#node.remove();
  }
}

function numbersOf(answer) {
  const pairs = answer
    .numbers()
    .map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, `${value}`)));
  return element("dl", { class: "numbers" }, ...pairs);
}

function curlFold(command) {
  const copy = element("button", { type: "button", class: "quiet" }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command);
    copy.textContent = "Copied";
  });
  const canCopy = "clipboard" in navigator; // only over https and on this machine
  return element(
    "details",
    { class: "curl" },
    element("summary", {}, "As a curl command"),
    element("pre", {}, command),
    canCopy ? copy : null,
  );
}
