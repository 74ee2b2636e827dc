// One screening: its progress, the candidates that it names, and why.

import { download, firstLines, request } from "../api.js";
import { scatterChart } from "../charts.js";
import { h, replace } from "../dom.js";
import { bytes, count, decimalsOf, fixed, formula, formulaText, number, percent, time, unitText, words } from "../format.js";
import { progressBar, watch } from "../live_job.js";
import { labelOf, properties } from "../models_choice.js";
import { busy, empty, facts, FINAL, heading, link, load, table, tiles, trail } from "../parts.js";
import { mayHaveCells, screenedCells } from "../screened_cells.js";
import { screeningName, wantedText } from "../screening_names.js";

const FORMATS = [["csv", "CSV"], ["jsonl", "JSONL"], ["parquet", "Parquet"]];
const MOST_SELECTED = 2000;
const MOST_OTHERS = 3000;

export function render(place, { id, signal }) {
  const path = `v1/screenings/${id}`;
  load(place, "the screening", async () => {
    const [job] = await Promise.all([request(path, { signal }), properties()]);
    return page(path, job, signal);
  }, signal);
}

function page(path, job, signal) {
  const bar = progressBar("Progress of the screening");
  const [found, about] = [h("div"), h("div")];
  let isShown = false;
  const live = watch(path, { job, signal, onRetried(next) { location.hash = `#/screen/${next.id}`; }, onJob(next) {
    const { done, failed, total, rate_per_s: rate, eta_s: eta } = next.progress;
    bar.element.hidden = FINAL.has(next.status);
    bar.show(done, total, `${count(done)} of ${total === null ? "an unknown number of" : count(total)} candidates`
      + `${failed ? `, ${count(failed)} without any value` : ""}${rate ? `, ${number(rate, 3)} a second` : ""}`, eta);
    replace(about, jobFacts(next));
    if (next.status === "succeeded" && !isShown) {
      isShown = true;
      load(found, "the candidates", async () => results(path, next, await firstLines(`${path}/results`, { query: { format: "jsonl" }, most: MOST_SELECTED, signal }), signal), signal);
    }
  } });
  const title = screeningName(job);
  document.title = `${title} · Xtalforge`;
  return h("div", {}, trail([["Jobs", "#/jobs"], [title]]), heading(title), live.status, bar.element, live.problem, live.controls, found, about, live.log);
}

function jobFacts({ wish, models, input, created_at: made }) {
  return h("section", { class: "card" }, h("h2", {}, "What was looked for"), facts([
    ...wish.constraints.map((each) => [labelOf(each.property), wantedText(each)]), ...wish.objectives.map((each) => [labelOf(each.property), wantedText(each)]),
    wish.constraints.length > 0 && ["Smallest probability", String(wish.min_probability)],
    ["Only like the training data", wish.in_domain ? "yes" : "no"],
    ["Models", models.map((model, index) => [index > 0 && ", ", link(`#/models/${model.name}/${model.version}`, `${model.name}/${model.version}`)])],
    input && ["File", `${input.name} (${bytes(input.size_bytes)})`], ["Made", time(made)],
  ]));
}

function results(path, job, { lines, isWhole }, signal) {
  const { counts, results_deleted_at: deleted } = job;
  if (deleted) return h("p", { class: "muted" }, "The results were deleted.");
  const told = h("div");
  const save = (name, address, options) => {
    const button = h("button", { type: "button", onClick: () => busy(button, told, () => download(address, options)) }, name);
    return button;
  };
  const numbers = tiles(Object.entries(counts).filter(([key, n]) => n > 0 || key === "selected").map(([key, n]) => [count(n), words(key)]));
  if (!lines.length) {
    return h("div", {}, numbers, empty("No candidate is left", h("p", {}, "Widen the constraints, lower the probability, or allow what is unlike the training data. The file of all candidates says why each was left out."),
      h("div", {}, save("Download all candidates (CSV)", `${path}/results`, { query: { format: "csv", scope: "all" }, fileName: `${job.id}-all.csv` }))), told);
  }
  return h("div", {}, numbers,
    h("div", { class: "row" }, FORMATS.map(([format, name]) => save(`Download ${name}`, `${path}/results`, { query: { format }, fileName: `${job.id}.${format}` })),
      mayHaveCells(job) && save("Download CIFs", `${path}/structures`, { fileName: `${job.id}.zip` }),
      save("All candidates (CSV)", `${path}/results`, { query: { format: "csv", scope: "all" }, fileName: `${job.id}-all.csv` })), told,
    chart(path, job, lines, signal), candidates(path, job, lines, signal),
    !isWhole && h("p", { class: "muted" }, `The first ${count(lines.length)} are shown; the files hold all.`));
}

const column = ({ property, unit }, part = "") => `${property}${part} [${unit}]`;

/** Two properties against each other, or one against its probability; the first front is joined by a line. */
function chart(path, job, lines, signal) {
  const place = h("div", { class: "card" });
  const [first, second] = axes(job);
  const point = (row) => ({ x: row[first.key], y: row[second.key], title: `${row.rank ? `${row.rank}. ` : ""}${formulaText(row.formula ?? row.input_id)}: ${number(row[first.key])}, ${number(row[second.key])}` });
  const usable = (row) => Number.isFinite(row[first.key]) && Number.isFinite(row[second.key]);
  const draw = (others) => {
    const front = lines.filter((row) => row.front === 1 && usable(row)).sort((a, b) => a[first.key] - b[first.key]);
    replace(place, scatterChart({
      caption: `${second.label} against ${first.label}`, xLabel: first.label, yLabel: second.label, height: 340,
      summary: `${count(lines.length)} candidates${front.length ? `, ${count(front.length)} of them on the Pareto front` : ""}.`,
      groups: [{ name: "named", points: lines.filter(usable).map(point) }, ...(others ? [{ name: "others", points: others.filter(usable).map(point) }] : [])],
      path: front.map((row) => [row[first.key], row[second.key]]),
    }), front.length > 1 && h("p", { class: "small muted" }, "The broken line joins the Pareto front: no candidate is better in one without being worse in the other."),
    !others && job.counts.candidates > lines.length && more);
  };
  const more = h("button", { type: "button", onClick: () => busy(more, h("div"), async () => {
    const all = await firstLines(`${path}/results`, { query: { format: "jsonl", scope: "all" }, most: lines.length + MOST_OTHERS, signal });
    draw(all.lines.filter((row) => row.rank === null));
  }) }, "Show the others too");
  draw(null);
  return place;
}

function axes({ models, wish }) {
  const axis = (model) => ({ key: column(model), label: unitText(model.unit) ? `${labelOf(model.property)} (${unitText(model.unit)})` : labelOf(model.property) });
  const wanted = [...wish.objectives, ...wish.constraints].map((each) => models.find((model) => model.property === each.property)).filter(Boolean);
  const [first, second] = [...new Set([...wanted, ...models])];
  if (second) return [axis(first), axis(second)];
  return [axis(first), wish.constraints.length ? { key: "probability", label: "probability" } : { key: "rank", label: "rank" }];
}

/** The table, beside it the cell of the best or of the one that was chosen. */
function candidates(path, job, lines, signal) {
  if (!mayHaveCells(job)) return candidateTable(job, lines);
  const viewer = h("div", { class: "viewer cell" });
  const cellOf = screenedCells(path, signal);
  let latest = new AbortController();
  const show = (row, isChosen = true) => {
    latest.abort();
    latest = new AbortController();
    if (isChosen) viewer.scrollIntoView({ block: "nearest" });
    load(viewer, "the cell", async () => {
      const card = await cellOf(row);
      viewer.classList.toggle("cell", card !== null);
      return card;
    }, AbortSignal.any([signal, latest.signal]));
  };
  show(lines[0], false);
  return h("div", { class: "predicting" }, viewer, candidateTable(job, lines, show));
}

function candidateTable({ models, wish }, lines, show = null) {
  const interval = (row, model) => {
    const [value, lower, upper] = [row[column(model)], row[column(model, " lower")], row[column(model, " upper")]];
    if (value === null) return "–";
    const decimals = decimalsOf(lower ?? 0, upper ?? 0, value);
    return [h("strong", {}, fixed(value, decimals)), lower !== null && h("div", { class: "small muted" }, `${fixed(lower, decimals)} to ${fixed(upper, decimals)}`)];
  };
  const isFormula = (row) => row.formula && formulaText(row.formula) !== row.input_id;
  const title = (row) => (row.formula ? formula(row.formula, true) : row.input_id);
  const candidate = (row) => (show
    ? h("button", { type: "button", class: "link", title: "Show its cell", onClick: () => show(row) }, title(row)) : title(row));
  return table({ caption: "Candidates, best first", rows: lines, columns: [
    { label: "Rank", numeric: true, cell: (row) => row.rank, sort: (row) => row.rank },
    { label: "Candidate", head: true, cell: (row) => [candidate(row), isFormula(row) && h("div", { class: "small muted" }, row.input_id)], sort: (row) => row.formula },
    ...models.map((model) => ({ label: unitText(model.unit) ? `${labelOf(model.property)} (${unitText(model.unit)})` : labelOf(model.property), numeric: true, cell: (row) => interval(row, model), sort: (row) => row[column(model)] })),
    wish.constraints.length > 0 && { label: "Probability", numeric: true, cell: (row) => (row.probability === null ? "–" : percent(row.probability)), sort: (row) => row.probability },
    wish.objectives.length > 1 && { label: "Front", numeric: true, cell: (row) => row.front ?? "–", sort: (row) => row.front },
    { label: "Why", cell: (row) => h("div", { class: "reason" }, row.reason) },
  ].filter(Boolean) });
}
