// Data sets: those there are, and the upload of another one.

import { all, ApiError, request } from "../api.js";
import { h, replace } from "../dom.js";
import { bytes, count, time, withUnit } from "../format.js";
import { dropZone } from "../inputs.js";
import { properties } from "../models_choice.js";
import { busy, empty, errorBox, field, heading, link, load, table } from "../parts.js";
import { propertyForm } from "../property_form.js";
import { reportView } from "../report_view.js";

export function render(place, { signal }) {
  const [upload, list] = [h("section", { class: "card" }), h("section")];
  replace(place, heading("Data sets",
    h("p", { class: "lead" }, "Labelled structures or compositions that models are trained on. Every row is checked at upload.")), upload, list);
  load(upload, "the properties", async () => uploadForm(await properties(), signal), signal);
  load(list, "the data sets", async () => datasetTable(await all("v1/datasets", { signal })), signal);
}

function uploadForm(catalogue, signal) {
  const file = h("input", { type: "file", required: true, accept: ".csv,.jsonl,.parquet,.zip,.json" });
  const name = h("input", { maxlength: 200 });
  const property = propertyForm(catalogue);
  const button = h("button", { type: "submit", class: "primary" }, "Upload and check");
  const told = h("div");
  const zone = dropZone(file);
  const form = h("form", { onSubmit: (event) => {
    event.preventDefault();
    busy(button, told, async () => {
      const body = new FormData();
      body.append("file", file.files[0]);
      body.append("name", name.value.trim());
      for (const [key, value] of Object.entries(property.values())) body.append(key, value);
      try {
        const made = await request("v1/datasets", { method: "POST", form: body, signal });
        location.hash = `#/data/${made.id}${made.created ? "?new" : "?known"}`;
      } catch (error) {
        if (!(error instanceof ApiError) || !error.problem.report) throw error;
        replace(told, errorBox(error), reportView(error.problem.report, null));
      }
    });
  } },
    h("h2", {}, "Upload"),
    h("div", { class: "columns" },
      h("div", {}, h("div", { class: "field" }, h("label", { for: "upload-file" }, "File"), zone), field("Name", name, "Empty: that of the file.")),
      property.element),
    h("details", {}, h("summary", {}, "What the file must look like"), formats()),
    h("div", { class: "row" }, button), told);
  file.id = "upload-file";
  return form;
}

function formats() {
  return h("div", {},
    h("p", {}, "CSV, JSONL or Parquet with one row for each material: a column ", h("code", {}, "composition"), " (or ", h("code", {}, "cif"), ", ",
      h("code", {}, "poscar"), ", ", h("code", {}, "structure"), "), the label in a column named by the property or ", h("code", {}, "target"), ", and if you like ", h("code", {}, "id"), "."),
    h("pre", {}, "id,composition,k_vrh\nmgo,MgO,155\ncao,CaO,105\nsrtio3,SrTiO3,174\n…"),
    h("p", {}, "Or a zip of CIFs with ", h("code", {}, "id_prop.csv"), " (", h("code", {}, "id,value"), " in each line). At least 20 usable rows; a few hundred make a useful model."));
}

function datasetTable(items) {
  if (!items.length) return empty("No data set yet", h("p", {}, "Upload a table above: it is checked row by row, and a model can be trained on it."));
  return table({
    caption: "Data sets", rows: items, columns: [
      { label: "Name", head: true, cell: (row) => link(`#/data/${row.id}`, row.name), sort: (row) => row.name },
      { label: "Property", cell: (row) => withUnit(row.property.label, row.property.unit === "1" ? "" : `(${row.property.unit})`), sort: (row) => row.property.key },
      { label: "Rows", numeric: true, cell: (row) => count(row.n_rows), sort: (row) => row.n_rows },
      { label: "Each row holds a", cell: (row) => row.input_kind },
      { label: "Size", numeric: true, cell: (row) => bytes(row.size_bytes), sort: (row) => row.size_bytes },
      { label: "Uploaded", cell: (row) => time(row.created_at), sort: (row) => row.created_at },
      { label: "Use it", cell: (row) => link(`#/train?dataset=${row.id}`, h("span", {}, "Train", h("span", { class: "visually-hidden" }, ` on ${row.name}`))) },
    ],
  });
}

