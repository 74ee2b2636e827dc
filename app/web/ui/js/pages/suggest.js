// What to measure next: candidates without labels, ranked by what a label of each is worth to a model.

import { all, allAllowed, request } from "../api.js";
import { announce, h, replace } from "../dom.js";
import { plural, unitText } from "../format.js";
import { inputsOf } from "../inputs.js";
import { levelSelect, properties } from "../models_choice.js";
import { busy, empty, field, heading, link, load, select } from "../parts.js";
import { suggestionAnswer } from "../suggestion_answer.js";

const CHAMPION = "champion";
const STRATEGIES = [
  ["batch", "What speaks for many others", "Materials like many other candidates, about which the model is unsure: the most is learned from few measurements."],
  ["uncertainty", "Where the model errs most", "The largest expected errors, one by one."],
  ["diversity", "What is unlike all that is known", "The farthest from every training row and from each other."],
  ["target", "What is likeliest to be what I look for", "The best of them, or those within bounds: to find a material rather than to teach the model."],
];
const OPTIMA = [["highest", "higher than every label so far"], ["lowest", "lower than every label so far"], ["bounds", "within bounds"]];

export function render(place, { query, signal }) {
  const body = h("div");
  replace(place, heading("What to measure next",
    h("p", { class: "lead" }, "Of many materials without a value, those whose measurement or calculation is worth most to a model. Add their values to your data set and train again.")), body);
  load(body, "models and data sets", async () => {
    const [models, datasets] = await Promise.all([all("v1/models", { signal }), allAllowed("v1/datasets", { signal }), properties().catch(() => null)]);
    const answering = models.filter((each) => each.champion);
    if (!answering.length) return empty("No model answers yet", h("p", {}, link("#/train", "Train one"), " first."));
    return form(answering, datasets, query.get("model"), signal);
  }, signal);
}

function form(models, datasets, wanted, signal) {
  const own = models.filter((each) => each.champion.source !== "shipped");
  const named = (each) => [each.name, `${each.name} (${each.champion.property.label}, reads a ${each.input_kind})`];
  const groups = [["Your own", own], ["Shipped", models.filter((each) => !own.includes(each))]].filter(([, some]) => some.length);
  const model = select(groups.map(([group, some]) => ({ group, options: some.map(named) })), { value: wanted ?? (own[0] ?? models[0]).name });
  if (!model.value) model.value = models[0].name;
  const chosen = () => models.find((each) => each.name === model.value).champion;
  const count = h("input", { type: "number", min: 1, max: 500, value: 10, required: true });
  const level = levelSelect();
  const source = candidates(datasets);
  const strategy = strategyForm(() => unitText(chosen().property.unit));
  model.addEventListener("change", strategy.tell);
  const [told, answer] = [h("div"), h("div")];
  const button = h("button", { type: "submit", class: "primary" }, "Suggest");
  return [h("form", { onSubmit: (event) => {
    event.preventDefault();
    busy(button, told, async () => {
      const found = await request("v1/suggestions", { method: "POST", isSafe: true, signal, json: {
        model: `${model.value}@${CHAMPION}`, count: Number(count.value), interval_level: Number(level.value), ...strategy.values(), ...(await source.values()),
      } });
      if (signal.aborted) return;
      replace(answer, suggestionAnswer(found, Number(level.value)));
      announce(`${plural(found.suggestions.length, "suggestion")}.`);
    });
  } },
    h("section", { class: "card" }, h("div", { class: "columns" },
      h("div", {}, field("Model that is to learn", model), source.element),
      h("div", {}, strategy.element, h("div", { class: "fields" }, field("How many", count), field("Level of the intervals", level)))),
    h("div", { class: "row" }, button)), told), answer];
}

/** `values()` gives `candidates` or `dataset_id`, as requests have them. */
function candidates(datasets) {
  const kind = select([["list", "Formulas, or the text of a structure"], ["files", "Structure files"], ["dataset", "A data set that is here"]].filter(([key]) => key !== "dataset" || datasets.length));
  const text = h("textarea", { required: true, rows: 6, spellcheck: "false", autocapitalize: "off", placeholder: "SrTiO3, BaZrO3, KNbO3" });
  const files = h("input", { type: "file", multiple: true, required: true });
  const dataset = select(datasets.map((each) => [each.id, `${each.name} (${plural(each.n_rows, "row")})`]));
  const ways = {
    list: [field("Formulas, or the text of a CIF or POSCAR", text, "Up to 1,000."), () => ({ candidates: inputsOf(text.value) })],
    files: [field("CIF or POSCAR files", files, "Up to 1,000."), async () => ({ candidates: await Promise.all([...files.files].map(structureOf)) })],
    dataset: [field("Data set", dataset, "Its labels are not looked at."), () => ({ dataset_id: dataset.value })],
  };
  const place = h("div");
  const show = () => replace(place, ways[kind.value][0]);
  kind.addEventListener("change", show);
  show();
  return { element: h("div", {}, field("Candidates", kind), place), values: async () => ways[kind.value][1]() };
}

async function structureOf(file) {
  const content = await file.text();
  const [input] = inputsOf(content);
  // What is neither goes as a CIF: the service says what is wrong with it.
  return input?.poscar ? { id: file.name, poscar: content } : { id: file.name, cif: content };
}

function strategyForm(unit) {
  const choice = select(STRATEGIES.map(([key, name]) => [key, name]));
  const optimum = select(OPTIMA);
  const [above, below] = [0, 1].map(() => h("input", { type: "number", step: "any" }));
  const about = h("p", { class: "small muted" });
  const bounds = h("div", { class: "fields" });
  const target = h("div", {}, field("It is to be", optimum), bounds);
  const tell = () => {
    about.textContent = STRATEGIES.find(([key]) => key === choice.value)[2];
    target.hidden = choice.value !== "target";
    bounds.hidden = optimum.value !== "bounds";
    const inUnit = unit() ? ` (${unit()})` : "";
    replace(bounds, field(`More than${inUnit}`, above), field(`Less than${inUnit}`, below));
  };
  choice.addEventListener("change", tell);
  optimum.addEventListener("change", tell);
  tell();
  const given = (input) => (input.value === "" ? null : Number(input.value));
  return {
    element: h("div", {}, field("What is worth most", choice), about, target), tell,
    values() {
      if (choice.value !== "target") return { strategy: choice.value };
      return { strategy: "target", target: optimum.value === "bounds" ? { above: given(above), below: given(below) } : { optimum: optimum.value } };
    },
  };
}
