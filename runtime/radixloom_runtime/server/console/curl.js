// The request as a command. The key is left to the shell's environment: commands are shown and kept.

import { addressOf, keptKey } from "./api.js";

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export function curlOf(body) {
  const lines = [`curl -N ${quoted(addressOf("v1/chat/completions"))}`];
  lines.push(`-H 'content-type: application/json'`);
  if (keptKey()) lines.push(`-H "authorization: Bearer $RADIXLOOM_API_KEY"`);
  lines.push(`-d ${quoted(JSON.stringify(body, null, 2))}`);
  return lines.join(" \\\n  ");
}
