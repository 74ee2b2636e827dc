// How good a model is that was just trained, in figures and pictures.

import { barChart, histogram, lineChart, scatterChart } from "./charts.js";
import { h } from "./dom.js";
import { count, duration, figure, formulaText, number, percent, unitText, withUnit } from "./format.js";
import { link, notice, table, tiles } from "./parts.js";

const PARTS = { train: "training", val: "validation", test: "test (held out)" };

export function trainingReport(report) {
  const { unit } = report.property;
  const isChampion = report.model.aliases.includes("champion");
  const model = `${report.model.name}/${report.model.version}`;
  const { test } = report.metrics;
  return h("div", {},
    notice(isChampion ? "good" : "warn", h("h2", {}, link(`#/models/${report.model.name}/${report.model.version}`, model), isChampion ? " is ready and answers for its name" : " is ready, but not promoted"),
      h("p", {}, report.outcome),
      h("p", {}, link(`#/predict?models=${encodeURIComponent(isChampion ? report.model.name : model)}`, "Predict with it"),
        isChampion && [" · ", link(`#/suggest?model=${encodeURIComponent(report.model.name)}`, "What to measure next")])),
    test && tiles([
      [withUnit(figure(test.mae), unit), "mean absolute error on test rows"], [withUnit(figure(test.rmse), unit), "root mean square error"],
      test.r2 !== null && [number(test.r2, 3), "R²"], [percent(1 - test.mae / test.mad), "of the error of answering the mean saved"], [count(test.n), "test rows, used for nothing else"],
    ]),
    h("div", { class: "columns" }, parity(report), residuals(report)),
    metricsTable(report.metrics, unit),
    report.tournament && tournament(report.tournament, report.property));
}

export function metricsTable(metrics, unit) {
  const rows = Object.entries(PARTS).filter(([key]) => metrics[key]).map(([key, name]) => ({ name, ...metrics[key] }));
  const cell = (key) => (row) => withUnit(figure(row[key]), unit);
  return table({ caption: "Errors", rows, columns: [
    { label: "Rows", head: true, cell: (row) => row.name }, { label: "Number", numeric: true, cell: (row) => count(row.n) },
    { label: "MAE", numeric: true, cell: cell("mae") }, { label: "RMSE", numeric: true, cell: cell("rmse") },
    { label: "Largest", numeric: true, cell: cell("max_error") }, { label: "R²", numeric: true, cell: (row) => figure(row.r2) },
    { label: "Error of the mean", numeric: true, cell: cell("mad") },
  ] });
}

function parity({ test_rows: rows, property, metrics }) {
  if (!rows.length) return null;
  const unit = unitText(property.unit) ? ` (${unitText(property.unit)})` : "";
  const isLog = property.transform === "log10" && rows.every((row) => row.prediction > 0);
  return h("div", { class: "card" }, scatterChart({
    caption: "Predicted against true, test rows", height: 380, diagonal: true, xLog: isLog, yLog: isLog,
    summary: `${rows.length} rows, mean absolute error ${number(metrics.test.mae)}${unit}.`,
    xLabel: `true ${property.label}${unit}`, yLabel: `predicted${unit}`,
    groups: [{ name: "test row", points: rows.map((row) => ({ x: row.label, y: row.prediction, title: `${formulaText(row.formula)}: true ${number(row.label)}, predicted ${number(row.prediction)}` })) }],
  }), metrics.test.n > rows.length && h("p", { class: "small muted" }, `${count(rows.length)} of ${count(metrics.test.n)} rows are shown.`));
}

function residuals({ test_rows: rows, property }) {
  if (rows.length < 3) return null;
  const errors = rows.map((row) => row.prediction - row.label);
  const furthest = Math.max(...errors.map(Math.abs)) || 1;
  const n = Math.min(31, Math.max(7, 2 * Math.floor(Math.sqrt(rows.length) / 2) + 1));
  const edges = Array.from({ length: n + 1 }, (_, index) => -furthest + (2 * furthest * index) / n);
  const counts = new Array(n).fill(0);
  for (const error of errors) counts[Math.min(n - 1, Math.floor(((error + furthest) / (2 * furthest)) * n))] += 1;
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  const worst = [...rows].sort((a, b) => Math.abs(b.prediction - b.label) - Math.abs(a.prediction - a.label)).slice(0, 5);
  return h("div", { class: "card" }, histogram({
    caption: "Errors of the test rows", summary: `On average ${number(mean)}; the largest ${number(furthest)}.`, edges, counts,
    xLabel: `predicted − true${unitText(property.unit) ? ` (${unitText(property.unit)})` : ""}`,
  }), table({ caption: "Farthest off", rows: worst, columns: [
    { label: "Formula", head: true, cell: (row) => formulaText(row.formula) }, { label: "True", numeric: true, cell: (row) => number(row.label) },
    { label: "Predicted", numeric: true, cell: (row) => number(row.prediction) }, { label: "Off", numeric: true, cell: (row) => number(row.prediction - row.label, 3) },
  ] }));
}

function tournament(found, property) {
  const unit = unitText(property.unit) ? ` (${unitText(property.unit)})` : "";
  const { winner, entrants } = found;
  const isOne = entrants.some((entrant) => entrant.name === winner.name);
  const bars = [...(isOne ? [] : [{ name: winner.name, value: winner.mae, dots: winner.fold_mae, chosen: true }]),
    ...entrants.map((entrant) => ({ name: entrant.name, value: entrant.mae, dots: entrant.fold_mae, chosen: entrant.name === winner.name }))];
  const against = [found.against_baseline, found.against_median, found.against_known].filter(Boolean);
  const curve = found.learning_curve;
  return h("section", {}, h("h2", {}, "Methods compared"), h("p", {}, found.reason),
    h("div", { class: "columns" },
      h("div", { class: "card" }, barChart({
        caption: `Error by cross-validation, ${found.n_folds} folds of ${count(found.n_rows)} rows`, xLabel: `MAE${unit}`, bars,
        summary: `${winner.name} won with ${number(winner.mae)}.`,
      }), h("p", { class: "small muted" }, "Dots: single folds. Orange: what became the model.")),
      curve.length > 0 && h("div", { class: "card" }, lineChart({
        caption: "Learning curve of the best method", xLabel: "rows that train", yLabel: `MAE${unit}`, xLog: curve.length > 1, dots: true,
        summary: `From ${number(curve[0].mae)} with ${count(curve[0].n_train)} rows to ${number(curve[curve.length - 1].mae)} with ${count(curve[curve.length - 1].n_train)}.`,
        series: [{ name: "error", points: curve.map((point) => [point.n_train, point.mae]) }],
      }), h("p", { class: "small muted" }, "If it still falls at the right end, more data will help."))),
    table({ caption: "Methods", rows: entrants, columns: [
      { label: "Method", head: true, cell: (row) => row.name }, { label: `MAE${unit}`, numeric: true, cell: (row) => figure(row.mae), sort: (row) => row.mae },
      { label: "Share of the answer", numeric: true, cell: (row) => percent(row.weight), sort: (row) => row.weight },
      { label: "p: as good as the winner", numeric: true, cell: (row) => (row.p_against_winner < 0.001 ? "< 0.001" : number(row.p_against_winner, 2)) },
      { label: "Time", numeric: true, cell: (row) => duration(row.seconds), sort: (row) => row.seconds },
    ] }),
    table({ caption: "The winner against what is simpler or there already", rows: against, columns: [
      { label: "Against", head: true, cell: (row) => row.baseline }, { label: "Error saved", numeric: true, cell: (row) => percent(row.gain, 1) },
      { label: "p, over formulas", numeric: true, cell: (row) => (row.p_rows < 0.001 ? "< 0.001" : number(row.p_rows, 2)) },
      { label: "p, over folds", numeric: true, cell: (row) => (row.p_folds < 0.001 ? "< 0.001" : number(row.p_folds, 2)) },
    ] }),
    found.left_out.length > 0 && h("details", {}, h("summary", {}, `Left out (${found.left_out.length})`), h("ul", {}, found.left_out.map((each) => h("li", {}, `${each.name}: ${each.why}`)))));
}
