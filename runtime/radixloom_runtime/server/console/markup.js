// The little of Markdown that answers are full of: fenced code, inline code, bold.

import { element } from "./elements.js";

const FENCE = /^```[^\n]*\n?/;
const INLINE = /(`[^`\n]+`|\*\*[^*\n]+\*\*)/;

/** Show `text` in `place`; half a fence, at the end of what has come so far, is code already. */
export function show(place, text) {
  const parts = text.split(/^(?=```)/m);
  const nodes = [];
  let isCode = false;
  for (const part of parts) {
    if (!part.startsWith("```")) nodes.push(...inline(part));
    else if (isCode) nodes.push(...inline(part.replace(FENCE, "")));
    else nodes.push(element("pre", {}, element("code", {}, part.replace(FENCE, "").trimEnd())));
    if (part.startsWith("```")) isCode = !isCode;
  }
  place.replaceChildren(...nodes);
}

function inline(text) {
  return text.split(INLINE).map((piece, index) => {
    if (index % 2 === 0) return piece;
    return piece.startsWith("`")
      ? element("code", {}, piece.slice(1, -1))
      : element("strong", {}, piece.slice(2, -2));
  });
}
