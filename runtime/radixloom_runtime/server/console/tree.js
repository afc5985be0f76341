// The prefix tree, twice: as shares of what is cached (for the eye alone), and as an outline.

import { byId, element } from "./elements.js";

const ROW = 26;
const NARROW = 0.03;

let shown = "";

/** Show the answer of /get_prefix_tree, if it is another than before. */
export function showTree(told) {
  const text = JSON.stringify(told);
  if (text === shown) return;
  shown = text;
  const trees = told.trees.map(grown);
  byId("tree-summary").textContent = summaryOf(told);
  drawFlame(trees);
  const scroll = byId("tree").scrollTop;
  byId("tree").replaceChildren(...trees.filter((tree) => tree.roots.length).map(outline));
  byId("tree").scrollTop = scroll;
}

function summaryOf({ trees, page_tokens: pageTokens }) {
  const nodes = trees.flatMap((tree) => tree.nodes);
  const told = tokensOf(nodes);
  const total = tokensOf(trees);
  if (!total) return "Nothing is cached: no prompt has filled a page yet, or the cache is off.";
  const rest = told < total ? `, of which the ${many(told, "token")} used last are shown` : "";
  const size = `${many(total, "token")} cached${rest}, in ${many(nodes.length, "node")}`;
  return `${size}. A page has ${many(pageTokens, "token")}.`;
}

const tokensOf = (things) => things.reduce((sum, thing) => sum + thing.num_tokens, 0);

/** Tie nodes to their children, with the tokens of all that is below. */
function grown({ nodes, num_tokens: total }) {
  const tied = nodes.map((node) => ({ ...node, children: [], size: node.num_tokens }));
  for (const node of tied.toReversed()) {
    if (node.parent === null) continue;
    tied[node.parent].children.unshift(node);
    tied[node.parent].size += node.size;
  }
  return { roots: tied.filter((node) => node.parent === null), total };
}

const stateOf = (node) => (node.is_pinned ? "pinned" : node.num_users ? "held" : "idle");
const HIDDEN = "told on the server's own machine only";
/** A node's first words; null where the server does not tell them to this machine. */
const wordsOf = ({ text }) =>
  text === null ? HIDDEN : text.replaceAll("\n", "↵").replaceAll("\uFFFD", "·");
const many = (count, thing) => `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;

function about(node) {
  const parts = [many(node.num_tokens, "token"), many(node.num_pages, "page")];
  parts.push(many(node.num_hits, "hit"));
  if (node.num_users) parts.push(`in use by ${node.num_users}`);
  if (node.is_pinned) parts.push("pinned");
  if (node.adapter !== "") parts.push(node.adapter ?? "adapter not loaded any more");
  return parts.join(" · ");
}

// --- shares

function drawFlame(trees) {
  const boxes = [];
  const total = trees.reduce((sum, tree) => sum + tree.total, 0);
  let left = 0;
  for (const { roots, total: size } of trees) {
    const end = roots.reduce((at, node) => box(boxes, node, at, 0, total), left);
    left += size;
    if (end < left) boxes.push(bar("untold", "", end / total, (left - end) / total, 0));
  }
  const rows = Math.max(0, ...boxes.map(({ depth }) => depth + 1));
  byId("flame").style.height = `${rows * ROW}px`;
  byId("flame").replaceChildren(...boxes.map(({ node }) => node));
}

/** Add the node's box and those below it; return where it ends. */
function box(boxes, node, left, depth, total) {
  const made = bar(stateOf(node), wordsOf(node), left / total, node.size / total, depth);
  made.node.title = `${wordsOf(node)}\n${about(node)}`;
  boxes.push(made);
  node.children.reduce((at, child) => box(boxes, child, at, depth + 1, total), left);
  return left + node.size;
}

function bar(state, text, left, width, depth) {
  const isNarrow = width < NARROW;
  const node = element("div", { class: isNarrow ? `${state} narrow` : state }, isNarrow ? "" : text);
  node.style.left = `${100 * left}%`;
  node.style.width = `${100 * width}%`;
  node.style.top = `${depth * ROW}px`;
  return { node, depth };
}

// --- outline

function outline({ roots }) {
  return element("ul", {}, ...roots.map(item));
}

function item(node) {
  const more = node.num_children - node.children.length;
  const row = element(
    "div",
    { class: `node ${stateOf(node)}` },
    element("span", { class: "mark" }),
    element("span", { class: "start" }, wordsOf(node) + (node.text === null || node.is_whole_text ? "" : " …")),
    element("span", { class: "about" }, about(node)),
    more > 0 ? element("span", { class: "more" }, `and ${many(more, "older node")} below`) : null,
  );
  const below = node.children.length ? outline({ roots: node.children }) : null;
  return element("li", {}, row, below);
}
