// The form of parameters. What is left empty is not sent; what is not sensible the server refuses.

import { byId } from "./elements.js";

const KEPT = "radixloom.parameters";
const READERS = {
  stop: (text) => [text],
  enable_thinking: (text) => text === "true",
};

const form = () => byId("parameters");

/** The system prompt, and the rest as the request has it. */
export function readParameters() {
  const { system, ...rest } = filledIn();
  const given = Object.entries(rest).map(([name, text]) => [name, (READERS[name] ?? Number)(text)]);
  return { system: system ?? "", sampling: Object.fromEntries(given) };
}

function filledIn() {
  return Object.fromEntries([...new FormData(form())].filter(([, text]) => text !== ""));
}

export function keepParameters() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  for (const [name, text] of Object.entries(kept)) form().elements[name].value = text;
  const keep = () => sessionStorage.setItem(KEPT, JSON.stringify(filledIn()));
  form().addEventListener("input", keep);
  form().addEventListener("submit", (event) => event.preventDefault());
  form().addEventListener("reset", () => setTimeout(keep));
  if (matchMedia("(max-width: 900px)").matches) byId("parameters-fold").open = false;
}
