// Predict a whole file of any length, as a job.

import { allAllowed, newKey, request } from "../api.js";
import { h, replace } from "../dom.js";
import { dropZone } from "../inputs.js";
import { levelSelect, modelChoice } from "../models_choice.js";
import { busy, field, heading, load, select, trail } from "../parts.js";

export function render(place, { query, signal }) {
  const body = h("div");
  replace(place, trail([["Predict", "#/predict"], ["A whole file"]]), heading("Predict a whole file",
    h("p", { class: "lead" }, "Up to a million inputs: a worker answers every row, and the results are there to download, also those of rows that failed, with the reason.")), body);
  load(body, "the data sets", async () => form(await allAllowed("v1/datasets", { signal }), query.get("dataset"), signal), signal);
}

function form(datasets, wanted, signal) {
  const file = h("input", { type: "file", accept: ".csv,.jsonl,.parquet,.zip" });
  const dataset = select([["", "No: a file"], ...datasets.map((each) => [each.id, each.name])], { value: wanted ?? "" });
  const fileField = field("File", file, "CSV, JSONL or Parquet with a column cif, poscar, structure, composition or formula and, if you like, id; or a zip of structure files.");
  const place = h("div");
  file.replaceWith(place);
  place.replaceWith(dropZone(file));
  const level = levelSelect();
  const choice = modelChoice(signal);
  const told = h("div");
  const button = h("button", { type: "submit", class: "primary" }, "Start");
  const tell = () => {
    fileField.hidden = Boolean(dataset.value);
    file.required = !dataset.value;
  };
  dataset.addEventListener("change", tell);
  tell();
  return h("form", { class: "card", onSubmit: (event) => {
    event.preventDefault();
    busy(button, told, async () => {
      const job = await request("v1/bulk-predictions", { method: "POST", signal, headers: { "Idempotency-Key": newKey() }, ...body() });
      location.hash = `#/bulk/${job.id}`;
    });
  } },
    datasets.length > 0 && field("A data set that is here", dataset), fileField,
    h("div", { class: "fields" }, choice.element, field("Level of the intervals", level)),
    h("div", { class: "row" }, button), told);

  function body() {
    const wish = { ...choice.chosen(), interval_level: Number(level.value) };
    if (dataset.value) return { json: { dataset_id: dataset.value, ...wish } };
    const form = new FormData();
    form.append("file", file.files[0]);
    for (const [name, values] of Object.entries(wish)) for (const value of [values].flat()) form.append(name, value);
    return { form };
  }
}
