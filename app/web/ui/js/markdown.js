// The Markdown of model cards as elements: headings, paragraphs, lists, tables, code, bold and links.

import { h } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)/g;

export function markdown(text) {
  const lines = text.split("\n");
  const made = [];
  let at = 0;
  const takeWhile = (test) => {
    const start = at;
    while (at < lines.length && test(lines[at])) at += 1;
    return lines.slice(start, at);
  };
  while (at < lines.length) {
    const line = lines[at];
    const title = /^(#{1,4})\s+(.*)/.exec(line);
    if (!line.trim()) at += 1;
    else if (title) {
      // The page has its own first and second level.
      made.push(h(`h${Math.min(6, title[1].length + 2)}`, {}, inline(title[2])));
      at += 1;
    } else if (line.startsWith("```")) {
      at += 1;
      made.push(h("pre", {}, takeWhile((each) => !each.startsWith("```")).join("\n")));
      at += 1;
    } else if (line.startsWith("|")) made.push(tableOf(takeWhile((each) => each.startsWith("|")), made.length));
    else if (/^\s*[-*]\s/.test(line)) made.push(listOf(takeWhile((each) => each.trim() && /^(\s*[-*]\s|\s+\S)/.test(each))));
    else made.push(h("p", {}, inline(takeWhile((each) => each.trim() && !/^(#{1,4}\s|```|\||\s*[-*]\s)/.test(each)).join(" "))));
  }
  return made;
}

function inline(text) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(INLINE)) {
    parts.push(text.slice(from, match.index));
    const [whole, code, bold, label, address] = match;
    if (code) parts.push(h("code", {}, code));
    else if (bold) parts.push(h("strong", {}, bold));
    else parts.push(/^https?:/.test(address) ? h("a", { href: address, rel: "noreferrer" }, label) : label);
    from = match.index + whole.length;
  }
  return [...parts, text.slice(from)];
}

function tableOf(lines, place) {
  const cells = (line) => line.replace(/^\||\|\s*$/g, "").split("|").map((cell) => cell.trim());
  const isRule = (line) => /^[|\s:-]+$/.test(line);
  const [head, ...rows] = lines.filter((line) => !isRule(line)).map(cells);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table of the card, part ${place}` }, h("table", {},
    h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, inline(cell))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, inline(cell))))))));
}

function listOf(lines) {
  const items = [];
  for (const line of lines) {
    if (/^\s*[-*]\s/.test(line)) items.push(line.replace(/^\s*[-*]\s+/, ""));
    else items.push(`${items.pop() ?? ""} ${line.trim()}`);
  }
  return h("ul", {}, items.map((item) => h("li", {}, inline(item))));
}
