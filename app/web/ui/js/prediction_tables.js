// Values with their intervals and domains, as tables and as a file.

import { h } from "./dom.js";
import { decimalsOf, fixed, formula, percent, unitText, withUnit } from "./format.js";
import { csv } from "./inputs.js";
import { labelOf } from "./models_choice.js";
import { link, table } from "./parts.js";

/** A value with as many digits as its interval is worth. */
export function valueText({ value, unit, interval }) {
  return withUnit(fixed(value, decimalsOf(interval?.lower ?? 0, interval?.upper ?? 0, value)), unit);
}

export function intervalText({ value, unit, interval, notes }) {
  if (!interval) return h("span", { class: "muted", title: notes?.join(" ") ?? "" }, "none");
  const decimals = decimalsOf(interval.lower, interval.upper, value);
  return withUnit(`${fixed(interval.lower, decimals)} to ${fixed(interval.upper, decimals)}`, unit);
}

export function domainCell({ domain }) {
  if (!domain) return h("span", { class: "muted" }, "not measured");
  return [h("span", { class: `badge ${domain.in_domain ? "good" : "warn"}` }, domain.in_domain ? "in domain" : "out of domain"),
    domain.score !== null && h("div", { class: "small muted" }, `score ${fixed(domain.score, 2)}, limit 1`),
    !domain.in_domain && h("div", { class: "small" }, domain.reason)];
}

/** `cells` are the structures by input, `showCell(id)` shows one. */
export function predictionTable(answer, cells, showCell) {
  const ids = new Set(answer.predictions.map((each) => each.input_id));
  const input = (row) => (cells.has(row.input_id)
    ? h("button", { type: "button", class: "link", title: "Show its cell", onClick: () => showCell(row.input_id) }, row.input_id)
    : formula(row.input_id));
  const shared = ids.size > 1 ? sharedNotes(answer.predictions) : new Map();
  const property = ({ property: key, model, notes }) => [labelOf(key),
    h("div", { class: "small" }, link(`#/models/${model.name}/${model.version}`, versionOf(model))),
    notes.filter((note) => !shared.get(versionOf(model))?.includes(note)).map((note) => h("div", { class: "small muted" }, note))];
  const rows = table({
    caption: ids.size > 1 ? "Predictions" : ["Predictions for ", formula([...ids][0])], rows: answer.predictions, columns: [
      ids.size > 1 && { label: "Input", head: true, cell: input, sort: (row) => row.input_id },
      { label: "Property and model", head: ids.size === 1, cell: property, sort: (row) => row.property },
      { label: "Value", numeric: true, cell: (row) => h("strong", {}, valueText(row)), sort: (row) => row.value },
      { label: `${percent(answer.level)} interval`, numeric: true, cell: intervalText },
      { label: "Domain", cell: domainCell, sort: (row) => row.domain?.score },
    ].filter(Boolean),
  });
  return h("div", {}, rows, [...shared].flatMap(([version, notes]) => notes.map((note) => h("p", { class: "small muted" }, `${version}: ${note}`))));
}

const versionOf = ({ name, version }) => `${name}/${version}`;

/** What a model says beside every one of its values: told once, `version -> notes`. */
function sharedNotes(predictions) {
  const shared = new Map();
  for (const { model, notes } of predictions) {
    const before = shared.get(versionOf(model));
    shared.set(versionOf(model), before ? before.filter((note) => notes.includes(note)) : notes);
  }
  return shared;
}

export function failures(errors) {
  return table({
    caption: "Without a value", rows: errors, columns: [
      { label: "Input", head: true, cell: (row) => row.input_id },
      { label: "Why", cell: (row) => row.detail },
      { label: "Code", cell: (row) => h("code", {}, row.code) },
      { label: "Model", cell: (row) => (row.model ? `${row.model.name}/${row.model.version}` : "all") },
    ],
  });
}

/** What each property is, once. */
export function definitions(predictions) {
  const told = new Map(predictions.map((each) => [each.property, each]));
  return told.size > 0 && h("details", { open: told.size < 4 }, h("summary", {}, "What these values are"),
    h("dl", { class: "definitions" }, [...told.values()].map((each) => [
      h("dt", {}, labelOf(each.property), unitText(each.unit) && ` (${unitText(each.unit)})`), h("dd", {}, each.definition)])));
}

export function asCsv(answer) {
  const heads = ["input_id", "property", "value", "unit", "interval_level", "lower", "upper", "in_domain", "domain_score",
    "domain_reason", "model", "version", "notes", "error_code", "error_detail"];
  const values = answer.predictions.map((each) => [
    each.input_id, each.property, each.value, each.unit, each.interval?.level, each.interval?.lower, each.interval?.upper,
    each.domain?.in_domain, each.domain?.score, each.domain?.reason, each.model.name, each.model.version, each.notes.join(" "), null, null,
  ]);
  const failed = answer.errors.map((each) => [
    each.input_id, null, null, null, null, null, null, null, null, null, each.model?.name, each.model?.version, null, each.code, each.detail,
  ]);
  return csv(heads, [...values, ...failed]);
}
