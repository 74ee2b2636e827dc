// The models there are.

import { all } from "../api.js";
import { h, replace } from "../dom.js";
import { figure, time, unitText, withUnit } from "../format.js";
import { empty, field, heading, link, load, select, table } from "../parts.js";

export function render(place, { signal }) {
  const list = h("div");
  replace(place, heading("Models",
    h("p", { class: "lead" }, "A name stands for its champion, the version that answers; others answer when they are named.")), list);
  load(list, "the models", async () => {
    const models = await all("v1/models", { signal });
    if (!models.length) return empty("No model yet", h("p", {}, link("#/train", "Train one"), "."));
    const shown = h("div");
    const keys = [...new Map(models.map((model) => [model.property_key, model.champion?.property.label ?? model.property_key]))];
    const filter = select([["", "All"], ...keys], { class: "narrow" });
    filter.addEventListener("change", () => replace(shown, modelTable(models.filter((model) => !filter.value || model.property_key === filter.value))));
    replace(shown, modelTable(models));
    return [field("Property", filter), shown];
  }, signal);
}

function modelTable(models) {
  return table({ caption: "Models", rows: models, columns: [
    { label: "Model", head: true, cell: (row) => [link(`#/models/${row.name}`, row.name), h("div", { class: "small muted" }, row.description)], sort: (row) => row.name },
    { label: "Property", cell: ({ champion, property_key: key }) => (champion ? `${champion.property.label}${unitText(champion.property.unit) ? ` (${unitText(champion.property.unit)})` : ""}` : key), sort: (row) => row.property_key },
    { label: "Reads a", cell: (row) => row.input_kind, sort: (row) => row.input_kind },
    { label: "Champion", numeric: true, cell: (row) => (row.champion ? link(`#/models/${row.name}/${row.champion.version}`, `version ${row.champion.version}`) : "none") },
    { label: "Test MAE", numeric: true, cell: ({ champion }) => (champion?.metrics.test ? withUnit(figure(champion.metrics.test.mae), champion.property.unit) : "–"), sort: (row) => row.champion?.metrics.test?.mae },
    { label: "From", cell: (row) => ({ shipped: "shipped", fine_tuning: "trained here", import: "imported" })[row.champion?.source] ?? "–" },
    { label: "Made", cell: (row) => time(row.created_at), sort: (row) => row.created_at },
  ] });
}
