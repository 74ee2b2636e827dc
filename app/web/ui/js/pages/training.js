// One training: live curves while it runs, then how good the model is.

import { download, request } from "../api.js";
import { lineChart } from "../charts.js";
import { h, replace } from "../dom.js";
import { number, time, unitText, withUnit, words } from "../format.js";
import { progressBar, watch } from "../live_job.js";
import { forgetProperties, labelOf, properties } from "../models_choice.js";
import { facts, FINAL, heading, link, load, table, trail } from "../parts.js";
import { trainingReport } from "../training_report.js";

const REDRAW_MS = 700;

export function render(place, { id, signal }) {
  const path = `v1/fine-tuning/jobs/${id}`;
  load(place, "the training", async () => {
    const [job] = await Promise.all([request(path, { signal }), properties()]);
    // Deleted meanwhile, it has an id and no name.
    const dataset = await request(`v1/datasets/${job.dataset_id}`, { signal }).catch(() => null);
    return page(path, job, dataset?.name ?? job.dataset_id, signal);
  }, signal);
}

function page(path, job, dataset, signal) {
  const [curves, report, about] = [h("div", { class: "columns" }), h("div"), h("div")];
  const bar = progressBar("Progress of the training");
  const saved = h("button", { type: "button", onClick: () => download(`${path}/report`, { query: { format: "html" }, fileName: `${job.id}.html`, headers: { Accept: "text/html" } }) }, "Save the report as a page");
  const epochs = [];
  let drawn = 0;
  let timer = null;
  let reported = false;

  function draw() {
    timer = null;
    drawn = performance.now();
    if (!epochs.length) return;
    const unit = unitText(job.unit);
    const last = epochs[epochs.length - 1];
    const fold = curves.querySelector("details[open]");
    // Someone reads the numbers: they must not fold away under their eyes.
    if (fold && !reported) return;
    replace(curves,
      h("div", { class: "card" }, lineChart({
        caption: "Error on validation rows", xLabel: "epoch", yLabel: unit ? `MAE (${unit})` : "MAE",
        summary: `After ${last.epoch} epochs ${number(last.val_mae)} ${unit}, the best ${number(last.best_val_mae)}.`,
        series: [{ name: "this epoch", points: epochs.map((each) => [each.epoch, each.val_mae]) }, { name: "best so far", points: epochs.map((each) => [each.epoch, each.best_val_mae]) }],
      })),
      h("div", { class: "card" }, lineChart({
        caption: "Training loss", xLabel: "epoch", yLabel: "loss", yLog: epochs.every((each) => each.train_loss > 0),
        summary: `After ${last.epoch} epochs ${number(last.train_loss)}.`,
        series: [{ name: "loss", points: epochs.map((each) => [each.epoch, each.train_loss]) }],
      })));
  }

  function onEvent(event) {
    if (event.kind === "epoch") {
      if (event.data.epoch <= (epochs[epochs.length - 1]?.epoch ?? 0)) epochs.length = epochs.findIndex((each) => each.epoch >= event.data.epoch);
      epochs.push(event.data);
      timer ??= setTimeout(draw, Math.max(0, REDRAW_MS - (performance.now() - drawn)));
    }
  }

  function onJob(next) {
    bar.element.hidden = FINAL.has(next.status);
    const { progress, search } = next;
    if (search) bar.show(search.done, search.total, `${search.done} of at most ${search.total} fits: ${search.text}`);
    else if (progress) {
      bar.show(progress.epoch, progress.max_epochs, `Epoch ${progress.epoch} of at most ${progress.max_epochs}, best validation error ${withUnit(number(progress.best_val_mae), progress.unit)}`, progress.eta_s);
    } else bar.show(0, 0, { queued: "Waiting for a worker.", paused: "Paused." }[next.status] ?? "Getting ready.");
    replace(about, jobFacts(next, dataset));
    if (next.status === "succeeded" && !reported) {
      reported = true;
      forgetProperties();
      draw();
      load(report, "the report", async () => [trainingReport(await request(`${path}/report`, { signal })), h("p", {}, saved)], signal);
    }
  }

  const live = watch(path, {
    job, onJob, onEvent, signal, onRetried(next) { location.hash = `#/train/${next.id}`; },
  });
  const title = `Training of ${job.model_name}`;
  document.title = `${title} · Xtalforge`;
  return h("div", {}, trail([["Jobs", "#/jobs"], [job.model_name]]), heading(title), live.status, bar.element, live.problem,
    live.controls, report, curves, about, live.log);
}

function jobFacts(job, dataset) {
  const used = Object.entries(job.hyperparameters).filter(([, value]) => value !== null);
  return h("section", { class: "card" }, h("h2", {}, "The job"), facts([
    ["Data set", link(`#/data/${job.dataset_id}`, dataset)], ["Property", labelOf(job.property), unitText(job.unit) && ` (${unitText(job.unit)})`],
    ["Method", words(job.method), ` (${job.architecture})`],
    job.base_model && ["Starts from", link(`#/models/${job.base_model.name}/${job.base_model.version}`, `${job.base_model.name}/${job.base_model.version}`)],
    job.sources.length > 0 && ["May use", job.sources.map((source, index) => [index > 0 && ", ", link(`#/models/${source.name}/${source.version}`, `${source.name}/${source.version}`)])],
    ["Made", time(job.created_at)], ["Started", time(job.started_at)], ["Ended", time(job.finished_at)], job.attempts > 1 && ["Attempts", String(job.attempts)],
  ]), h("details", {}, h("summary", {}, "Settings used"), table({
    caption: "Hyperparameters, given or chosen", rows: [...used, ["seed", job.seed]], columns: [
      { label: "Name", head: true, cell: ([name]) => words(name) }, { label: "Value", numeric: true, cell: ([, value]) => (typeof value === "number" ? number(value) : String(value)) },
    ],
  })));
}
