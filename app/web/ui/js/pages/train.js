// Start a training: data set, method, base model, name; everything else may be left to the service.

import { all, description, newKey, request } from "../api.js";
import { h, replace } from "../dom.js";
import { plural, unitText, words } from "../format.js";
import { optionFields } from "../options.js";
import { busy, empty, field, heading, link, load, select } from "../parts.js";

const RECOMMENDED = "auto";
const NAMES = "Small letters, digits, '.', '_' and '-'; a letter or digit first.";
const OF_NO_PAPER = "beyond the papers";
const FAMILIES = { cgcnn: "CGCNN", schnet: "SchNet", elemnet: "ElemNet", elemnet_representation: "ElemNet", baseline: "baseline", ensemble: "combination" };

export function render(place, { query, signal }) {
  const body = h("div");
  replace(place, heading("Train a model",
    h("p", { class: "lead" }, "From a few hundred labelled materials of your own: a pretrained model is carried over to your property, or the best of many methods is found by cross-validation.")), body);
  load(body, "data sets and methods", async () => {
    const [datasets, methods, models, api] = await Promise.all([
      all("v1/datasets", { signal }), request("v1/fine-tuning/methods", { signal }), all("v1/models", { signal }), description(),
    ]);
    if (!datasets.length) {
      return empty("No data set to train on", h("p", {}, link("#/data", "Upload one"), " first: a table of formulas or structures with the measured or computed values."));
    }
    return form({ datasets, methods: methods.items, models, schema: api.components.schemas.Hyperparameters }, query, signal);
  }, signal);
}

function form({ datasets, methods, models, schema }, query, signal) {
  const dataset = select(datasets.map((each) => [each.id, `${each.name} (${plural(each.n_rows, "row")})`]), { value: query.get("dataset") ?? datasets[0].id });
  if (!dataset.value) dataset.value = datasets[0].id;
  const method = h("select");
  const base = h("select");
  const baseField = field("Base model", base, "What the training starts from.");
  const name = h("input", { required: true, pattern: "[a-z0-9][a-z0-9._\\-]{0,63}", maxlength: 64, autocapitalize: "off", placeholder: "my-bulk-modulus", title: NAMES });
  const seed = h("input", { type: "number", min: 0, value: 0 });
  const about = h("p", { class: "small muted" });
  const facts = h("p", { class: "small muted" });
  const options = h("div");
  const told = h("div");
  const button = h("button", { type: "submit", class: "primary" }, "Start training");
  let fields = null;
  const chosen = () => datasets.find((each) => each.id === dataset.value);

  function onDataset() {
    const { input_kind: kind, property, n_rows: rows } = chosen();
    facts.textContent = `${property.label}${unitText(property.unit) ? ` in ${unitText(property.unit)}` : ""}, ${plural(rows, "row")}, each with a ${kind}.`;
    const fitting = methods.filter((each) => each.data_kinds.includes(kind));
    const names = [...new Map(fitting.map((each) => [each.name, each])).values()];
    const before = method.value || query.get("method") || RECOMMENDED;
    replace(method, [
      ["Found by cross-validation (recommended)", names.filter((each) => each.name === RECOMMENDED)],
      ["Transfer from a pretrained model", names.filter((each) => each.needs_base_model)],
      ["From scratch", names.filter((each) => each.name === "scratch")],
      ["Without a network", names.filter((each) => each.family === "baseline")],
    ].filter(([, entries]) => entries.length).map(([label, entries]) => h("optgroup", { label }, entries.map((each) => h("option", { value: each.name }, words(each.name))))));
    method.value = names.some((each) => each.name === before) ? before : names[0].name;
    if (!name.value || name.dataset.suggested === name.value) {
      name.value = name.dataset.suggested = `my-${property.key.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`.slice(0, 64);
    }
    onMethod();
  }

  function onMethod() {
    const { input_kind: kind } = chosen();
    const ways = methods.filter((each) => each.name === method.value && each.data_kinds.includes(kind));
    const families = new Set(ways.map((each) => each.base_family).filter(Boolean));
    about.textContent = `${ways[0].description.replaceAll("`", "")} ${ways[0].source && ways[0].source !== OF_NO_PAPER ? `Source: ${ways[0].source}.` : ""}`;
    const fitting = models.filter((model) => model.champion && model.input_kind === kind && (method.value === RECOMMENDED || families.has(model.champion.architecture)));
    replace(base, h("option", { value: "auto" }, method.value === RECOMMENDED ? "all that fit" : "chosen by the service"),
      fitting.map((model) => h("option", { value: model.name }, `${model.name} (${FAMILIES[model.champion.architecture] ?? model.champion.architecture}, ${model.champion.property.label})`)));
    if (fitting.some((model) => model.name === query.get("base"))) base.value = query.get("base");
    baseField.hidden = !families.size && method.value !== RECOMMENDED;
    fields = optionFields(schema, [...new Set(ways.flatMap((each) => each.hyperparameters))]);
    replace(options, fields.element);
  }

  dataset.addEventListener("change", onDataset);
  method.addEventListener("change", onMethod);
  onDataset();
  return h("form", { class: "card", onSubmit: (event) => {
    event.preventDefault();
    busy(button, told, async () => {
      const job = await request("v1/fine-tuning/jobs", { method: "POST", signal, headers: { "Idempotency-Key": newKey() }, json: {
        dataset_id: dataset.value, model_name: name.value.trim(), method: method.value, seed: Number(seed.value),
        base_model: baseField.hidden ? "auto" : base.value, hyperparameters: fields.values(),
      } });
      location.hash = `#/train/${job.id}`;
    });
  } },
    h("div", { class: "columns" },
      h("div", {}, field("Data set", dataset), facts, field("Name of the model", name, `${NAMES} A name of your own that exists gets a further version.`)),
      h("div", {}, field("Method", method), about, baseField)),
    h("details", {}, h("summary", {}, "Options"), h("p", { class: "small muted" }, "What is left empty is chosen for the data."), options, field("Seed", seed, "Same seed, same split, same starting weights.")),
    h("div", { class: "row" }, button), told);
}

