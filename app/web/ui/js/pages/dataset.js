// One data set and its validation report.

import { request } from "../api.js";
import { h } from "../dom.js";
import { bytes, time, unitText } from "../format.js";
import { busy, confirm, facts, heading, load, notice, trail } from "../parts.js";
import { reportView } from "../report_view.js";

export function render(place, { id, query, signal }) {
  load(place, "the data set", async () => page(await request(`v1/datasets/${id}`, { signal }), query), signal);
}

function page(dataset, query) {
  const told = h("div");
  const remove = h("button", { type: "button", class: "danger", onClick: async () => {
    if (!(await confirm("Delete this data set?", `“${dataset.name}” is removed for good. Models trained on it stay.`, "Delete"))) return;
    busy(remove, told, async () => {
      await request(`v1/datasets/${dataset.id}`, { method: "DELETE" });
      location.hash = "#/data";
    });
  } }, "Delete");
  document.title = `${dataset.name} · Xtalforge`;
  const { property } = dataset;
  const [state] = query.keys();
  return h("div", {}, trail([["Data sets", "#/data"], [dataset.name]]), heading(dataset.name),
    state === "new" && notice("good", h("p", {}, "Uploaded and checked.")),
    state === "known" && notice("warn", h("p", {}, "The same rows were uploaded before: this is that data set.")),
    facts([
      ["Property", property.label, unitText(property.unit) && ` (${unitText(property.unit)})`, property.transform === "log10" && ", learned as its logarithm"],
      ["What it is", property.definition], ["Each row holds a", dataset.input_kind], ["Uploaded", time(dataset.created_at)],
      ["Size", bytes(dataset.size_bytes)], ["Id", h("code", {}, dataset.id)],
    ]),
    h("div", { class: "row" }, h("a", { class: "button primary", href: `#/train?dataset=${dataset.id}` }, "Train a model on it"),
      h("a", { class: "button", href: `#/bulk?dataset=${dataset.id}` }, "Predict all rows"), remove), told,
    h("h2", {}, "What was found"), reportView(dataset.report, property));
}

