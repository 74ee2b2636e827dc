// All long work: trainings, bulk predictions and screenings.

import { allAllowed } from "../api.js";
import { h, replace } from "../dom.js";
import { screeningName } from "../screening_names.js";
import { count, duration, percent, time } from "../format.js";
import { check, empty, FINAL, heading, link, load, statusBadge, table } from "../parts.js";

const KINDS = [
  ["Training", "v1/fine-tuning/jobs", "#/train/", (job) => job.model_name],
  ["Bulk prediction", "v1/bulk-predictions", "#/bulk/", (job) => job.input.name],
  ["Screening", "v1/screenings", "#/screen/", screeningName],
];
const MOST = 200;
const REFRESH_MS = 5000;

export function render(place, { signal }) {
  const list = h("div");
  const onlyOpen = check("Only those that are not over", { onChange: () => show() });
  let jobs = [];
  const show = () => replace(list, jobTable(onlyOpen.querySelector("input").checked ? jobs.filter((job) => !FINAL.has(job.status)) : jobs));
  replace(place, heading("Jobs", h("p", {}, link("#/webhooks", "Be told when jobs end"))), onlyOpen, list);
  load(list, "the jobs", async () => {
    jobs = await read(signal);
    const timer = setInterval(async () => {
      if (document.hidden || !jobs.some((job) => !FINAL.has(job.status))) return;
      jobs = await read(signal).catch(() => jobs);
      if (!signal.aborted && !list.contains(document.activeElement)) show();
    }, REFRESH_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
    return jobTable(jobs);
  }, signal);
}

async function read(signal) {
  const lists = await Promise.all(KINDS.map(async ([kind, path, hash, name]) => (
    (await allAllowed(path, { signal, most: MOST })).map((job) => ({ ...job, kind, hash: hash + job.id, name: name(job) }))
  )));
  return lists.flat().sort((a, b) => b.created_at.localeCompare(a.created_at));
}

function progress({ progress: at, search, status }) {
  if (FINAL.has(status)) return "";
  if (search) return `${count(search.done)} of ${count(search.total)} fits`;
  if (at?.epoch) return `epoch ${at.epoch} of ${at.max_epochs}`;
  if (at?.total) return percent(at.done / at.total);
  return "";
}

function jobTable(jobs) {
  if (!jobs.length) {
    return empty("No job here", h("p", {}, link("#/train", "Train a model"), ", ", link("#/bulk", "predict a whole file"), " or ", link("#/screen", "screen candidates"), "."));
  }
  const took = (job) => (job.started_at && job.finished_at ? (new Date(job.finished_at) - new Date(job.started_at)) / 1000 : null);
  return table({ caption: "Jobs, newest first", rows: jobs, columns: [
    { label: "Job", head: true, cell: (job) => link(job.hash, job.name), sort: (job) => job.name },
    { label: "Kind", cell: (job) => job.kind, sort: (job) => job.kind },
    { label: "State", cell: (job) => statusBadge(job.status), sort: (job) => job.status },
    { label: "Progress", numeric: true, cell: progress },
    { label: "Made", cell: (job) => time(job.created_at), sort: (job) => job.created_at },
    { label: "Took", numeric: true, cell: (job) => duration(took(job)), sort: took },
  ] });
}
