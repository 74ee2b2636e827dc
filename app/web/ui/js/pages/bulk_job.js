// One bulk prediction: its progress and its results.

import { download, request } from "../api.js";
import { h, replace } from "../dom.js";
import { bytes, count, number, time, unitText } from "../format.js";
import { progressBar, watch } from "../live_job.js";
import { labelOf, properties } from "../models_choice.js";
import { facts, FINAL, heading, link, load, table, trail } from "../parts.js";

const FORMATS = [["csv", "CSV"], ["jsonl", "JSONL"], ["parquet", "Parquet"]];

export function render(place, { id, signal }) {
  const path = `v1/bulk-predictions/${id}`;
  load(place, "the bulk prediction", async () => {
    const [job] = await Promise.all([request(path, { signal }), properties()]);
    return page(path, job, signal);
  }, signal);
}

function page(path, job, signal) {
  const bar = progressBar("Progress of the predictions");
  const results = h("div");
  const live = watch(path, { job, signal, onRetried(next) { location.hash = `#/bulk/${next.id}`; }, onJob(next) {
    const { done, failed, total, rate_per_s: rate, eta_s: eta } = next.progress;
    bar.show(done, total, `${count(done)} of ${total === null ? "an unknown number of" : count(total)} inputs`
      + `${failed ? `, ${count(failed)} without any value` : ""}${rate ? `, ${number(rate, 3)} a second` : ""}`, eta);
    const isOver = FINAL.has(next.status);
    const partial = next.status === "succeeded" ? {} : { partial: true };
    replace(results, isOver && done > 0 && !next.results_deleted_at && h("div", { class: "row" },
      FORMATS.map(([format, name]) => h("button", { type: "button", class: format === "csv" ? "primary" : "", onClick: () => (
        download(`${path}/results`, { query: { format, ...partial }, fileName: `${next.id}.${format}` })) }, `Download ${name}`))),
      next.results_deleted_at && h("p", { class: "muted" }, "The results were deleted."));
  } });
  return h("div", {}, trail([["Jobs", "#/jobs"], [job.input.name]]), heading(`Predictions for ${job.input.name}`), live.status, bar.element, live.problem,
    results, live.controls,
    table({ caption: "Models that answer", rows: job.models, columns: [
      { label: "Model", head: true, cell: (row) => link(`#/models/${row.name}/${row.version}`, `${row.name}/${row.version}`) },
      { label: "Property", cell: (row) => labelOf(row.property) }, { label: "Unit", cell: (row) => unitText(row.unit) || "–" },
    ] }),
    facts([["File", job.input.name, ` (${bytes(job.input.size_bytes)}, ${job.input.format})`], job.input.column && ["Column", h("code", {}, job.input.column)],
      job.input.notes.length > 0 && ["Notes", job.input.notes.join(" ")], ["Made", time(job.created_at)]]), live.log);
}
