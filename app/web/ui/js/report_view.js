// The validation report of a data set: counts, labels, periodic table, and what is wrong row by row.

import { histogram } from "./charts.js";
import { h } from "./dom.js";
import { ELEMENTS } from "./elements.js";
import { count, formula, number, plural, unitText, withUnit, words } from "./format.js";
import { facts, notice, table, tiles } from "./parts.js";

/** `property` is the data set's; null when the upload was refused. */
export function reportView(report, property) {
  const unit = property?.unit ?? report.labels?.unit ?? "1";
  return h("div", {},
    tiles([
      [count(report.n_usable), "usable rows"], [count(report.n_failed), "failed"], [count(report.n_duplicates), "duplicates left out"],
      [count(report.n_conflicts), "conflicting labels"], [count(report.n_outliers), "outliers"], [count(report.n_formulas), "different formulas"],
    ]),
    report.warnings.length > 0 && notice("warn", h("h3", {}, "Look at this before training"), h("ul", {}, report.warnings.map((text) => h("li", {}, text)))),
    h("div", { class: "columns" },
      report.labels && h("section", { class: "card" }, h("h2", {}, "Labels"), labelChart(report, property, unit), labelFacts(report.labels, unit)),
      Object.keys(report.elements).length > 0 && h("section", { class: "card" }, h("h2", {}, "Elements"), periodicTable(report))),
    findings(report, unit));
}

function labelChart({ labels, outliers }, property, unit) {
  if (!labels.histogram) return null;
  const { scale, edges, counts } = labels.histogram;
  const name = property?.label ?? "label";
  const marks = outliers.map((each) => each.value);
  return h("div", {}, histogram({
    caption: `${name} of the usable rows${scale === "log10" ? " (logarithmic axis)" : ""}`,
    summary: `From ${number(labels.min)} to ${number(labels.max)} ${unitText(unit)}, median ${number(labels.median)}; ${plural(marks.length, "outlier")} marked.`,
    edges, counts, xLabel: unitText(unit) ? `${name} (${unitText(unit)})` : name, xLog: scale === "log10", marks,
  }), marks.length > 0 && h("p", { class: "small muted" }, "The arrows point at outliers: labels more than 6 robust standard deviations from the median."));
}

function labelFacts(labels, unit) {
  return facts([["min", "Lowest"], ["median", "Median"], ["mean", "Mean"], ["max", "Highest"], ["mad", "Error of always answering the mean"]]
    .map(([key, what]) => [what, withUnit(number(labels[key], 3), unit)]));
}

/** How many rows hold each element, as a periodic table coloured in three steps, with the numbers in words. */
function periodicTable({ elements, unseen_elements: unseen }) {
  const most = Math.max(...Object.values(elements));
  const level = (n) => (n >= most / 3 ? 3 : n >= most / 30 ? 2 : 1);
  const unknown = new Set(unseen.flatMap((each) => each.elements));
  const cells = ELEMENTS.map(({ symbol, name, row, column }) => {
    const n = elements[symbol] ?? 0;
    const cell = h("span", {
      class: `${n ? `level-${level(n)}` : ""}${unknown.has(symbol) ? " unseen" : ""}`, title: `${name}: ${plural(n, "row")}`,
    }, symbol);
    cell.style.gridRow = row;
    cell.style.gridColumn = column;
    return cell;
  });
  const present = Object.entries(elements);
  const frequent = present.slice(0, 6).map(([symbol, n]) => `${symbol} ${count(n)}`).join(", ");
  return h("div", {},
    h("div", { class: "scroll", tabindex: "0", role: "img", "aria-label": `Periodic table of the data set: ${plural(present.length, "element")}. Most rows hold ${frequent}.` },
      h("div", { class: "periodic" }, cells)),
    h("p", { class: "small" }, `${plural(present.length, "element")}; the stronger the colour, the more rows. Most frequent: ${frequent}.`),
    unseen.map((each) => h("p", { class: "small" }, h("span", { class: "badge warn" }, "new"), ` ${each.elements.join(", ")}: in ${plural(each.n_rows, "row")}, never seen by ${each.model}/${each.version} in training (framed).`)),
    h("details", {}, h("summary", {}, "Rows by element"), table({
      caption: "Usable rows that hold each element", tall: true, shown: 120, rows: present, columns: [
        { label: "Element", head: true, cell: ([symbol]) => symbol, sort: ([symbol]) => symbol },
        { label: "Rows", numeric: true, cell: ([, n]) => count(n), sort: ([, n]) => n },
      ],
    })));
}

function findings(report, unit) {
  const value = (x) => withUnit(number(x), unit);
  const part = (title, n, make) => n > 0 && h("details", { class: "card", open: n <= 10 }, h("summary", {}, `${title} (${count(n)})`), make());
  return h("div", {},
    part("Rows that cannot be used", report.n_failed, () => [
      h("p", { class: "small" }, Object.entries(report.failure_counts).map(([code, n]) => `${words(code)}: ${count(n)}`).join("; ")),
      table({ caption: "Failed rows", tall: true, rows: report.failures, columns: [
        { label: "Line", numeric: true, cell: (row) => row.line, sort: (row) => row.line }, { label: "Row", head: true, cell: (row) => row.row_id },
        { label: "Why", cell: (row) => row.detail }, { label: "Code", cell: (row) => h("code", {}, row.code), sort: (row) => row.code },
      ] })]),
    part("Duplicates, left out", report.n_duplicates, () => table({ caption: "Rows that repeat another, input and label", tall: true, rows: report.duplicates, columns: [
      { label: "Row", head: true, cell: (row) => row.row_id }, { label: "Repeats", cell: (row) => row.first_row_id },
    ] })),
    part("Conflicting labels, kept", report.n_conflicts, () => table({ caption: "Inputs with several labels", tall: true, rows: report.conflicts, columns: [
      { label: "Formula", head: true, cell: (row) => formula(row.formula, true), sort: (row) => row.formula },
      { label: "Rows", cell: (row) => row.row_ids.join(", ") }, { label: "Labels", cell: (row) => row.values.map(value).join(", ") },
    ] })),
    part("Outliers, kept", report.n_outliers, () => table({ caption: "Labels far from the others", tall: true, rows: report.outliers, columns: [
      { label: "Row", head: true, cell: (row) => row.row_id }, { label: "Label", numeric: true, cell: (row) => value(row.value), sort: (row) => row.value },
      { label: "Robust standard deviations off", numeric: true, cell: (row) => number(row.robust_z, 3), sort: (row) => row.robust_z },
    ] })),
    part("Perhaps one material twice, kept", report.similar.length, () => table({ caption: "Same formula and label, different structure", tall: true, rows: report.similar, columns: [
      { label: "Formula", head: true, cell: (row) => formula(row.formula, true) }, { label: "Rows", cell: (row) => row.row_ids.join(", ") },
    ] })));
}
