// What the page asks of the server. Addresses are relative, so that it works below a gateway's path.

const KEY = "radixloom.key";

/** What the server said instead of an answer. */
export class ServerError extends Error {
  constructor(status, { message, code = null, param = null }) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

export const keptKey = () => sessionStorage.getItem(KEY) ?? "";

export function keepKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/** Where `path` is, in full. */
export const addressOf = (path) => new URL(path, document.baseURI).href;

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (keptKey()) headers.authorization = `Bearer ${keptKey()}`;
  const response = await fetch(path, { ...options, headers, cache: "no-store" });
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response) {
  const text = await response.text();
  try {
    const { error, reason } = JSON.parse(text);
    return new ServerError(response.status, error ?? { message: reason ?? text });
  } catch {
    return new ServerError(response.status, { message: text || response.statusText });
  }
}

/** Raises `ServerError`. */
export const getJson = async (path) => (await ask(path)).json();

/** A health path's report, whatever its status. */
export async function getReport(path) {
  const response = await fetch(path, { cache: "no-store" });
  return { isGood: response.ok, ...(await response.json()) };
}

/** Yield the chunks of a streamed chat completion. Raises `ServerError`, or `AbortError`. */
export async function* streamChat(body, signal) {
  const response = await ask("v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(response.status, chunk.error);
    yield chunk;
  }
  throw new ServerError(response.status, { message: "The connection broke before the answer’s end." });
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}
