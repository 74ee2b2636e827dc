// Suggestions as a table and as a file.

import { h } from "./dom.js";
import { count, figure, formula, formulaText, percent, plural } from "./format.js";
import { csv } from "./inputs.js";
import { link, table, empty } from "./parts.js";
import { saveText } from "./api.js";
import { domainCell, failures, intervalText, valueText } from "./prediction_tables.js";

export function suggestionAnswer(answer, level) {
  const { model, suggestions, set_aside: aside, errors } = answer;
  const save = h("button", { type: "button", onClick: () => saveText(asCsv(answer), "suggestions.csv") }, "Download CSV");
  return [h("h2", {}, "Measure these, in this order"),
    h("div", { class: "row spread" },
      h("p", { class: "muted" }, `${count(answer.n_ranked)} ranked for `, link(`#/models/${model.name}/${model.version}`, `${model.name}/${model.version}`), `; score: ${answer.score_meaning}.`),
      suggestions.length > 0 && save),
    suggestions.length ? suggestionTable(suggestions, level) : empty("Nothing to suggest", h("p", {}, "Every candidate has a label that the model knows, repeats another, or gives no value.")),
    aside.length > 0 && h("details", {}, h("summary", {}, `${plural(aside.length, "candidate")} set aside`), table({
      caption: "Not ranked: their value is known, or comes with that of another", rows: aside, columns: [
        { label: "Candidate", head: true, cell: (row) => formula(row.input_id) }, { label: "Why", cell: (row) => row.detail },
      ],
    })),
    errors.length > 0 && failures(errors)];
}

function suggestionTable(suggestions, level) {
  const isNamed = (row) => formulaText(row.formula) !== formulaText(row.input_id);
  return table({ caption: "Suggestions, best first", rows: suggestions, columns: [
    { label: "Rank", numeric: true, cell: (row) => row.rank, sort: (row) => row.rank },
    { label: "Candidate", head: true, cell: (row) => [formula(row.formula, true), isNamed(row) && h("div", { class: "small muted" }, row.input_id)], sort: (row) => row.formula },
    { label: "Score", numeric: true, cell: (row) => figure(row.score), sort: (row) => row.score },
    { label: "Predicted", numeric: true, cell: (row) => h("strong", {}, valueText(row.prediction)), sort: (row) => row.prediction.value },
    { label: `${percent(level)} interval`, numeric: true, cell: (row) => intervalText(row.prediction) },
    { label: "Domain", cell: (row) => domainCell(row.prediction) },
    { label: "Why", cell: (row) => h("div", { class: "reason" }, row.reason) },
  ] });
}

function asCsv({ model, suggestions }) {
  const heads = ["rank", "input_id", "formula", "score", "value", "lower", "upper", "unit", "in_domain", "model", "version", "reason"];
  return csv(heads, suggestions.map(({ rank, input_id: id, formula: text, score, reason, prediction: { value, unit, interval, domain } }) => [
    rank, id, text, score, value, interval?.lower, interval?.upper, unit, domain?.in_domain, model.name, model.version, reason,
  ]));
}
