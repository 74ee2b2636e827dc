// Predict: files, pasted text and formulas in; values, intervals and the cell out.

import { ApiError, request, saveText } from "../api.js";
import { cellCard } from "../cell.js";
import { announce, h, replace } from "../dom.js";
import { EXAMPLES } from "../examples.js";
import { count, plural } from "../format.js";
import { acceptDrops, inputsOf } from "../inputs.js";
import { levelSelect, modelChoice, properties } from "../models_choice.js";
import { busy, empty, field, heading, link, load } from "../parts.js";
import { asCsv, definitions, predictionTable, failures } from "../prediction_tables.js";

/** What was asked last and its answer: there again when one comes back from another page. */
let last = null;

export function render(place, { query, signal }) {
  const files = [];
  const text = h("textarea", { rows: 6, spellcheck: "false", autocapitalize: "off", placeholder: "SrTiO3, Li0.5CoO2" });
  const chosenFiles = h("ul", { class: "chips", "aria-label": "Files to predict from" });
  const picker = h("input", { type: "file", multiple: true, "aria-label": "Structure files or zips of them", onChange: () => {
    add([...picker.files]);
    picker.value = "";
  } });
  const zone = h("div", { class: "drop" }, h("p", {}, h("strong", {}, "Drop CIF or POSCAR files, or a zip of them, here")), picker, chosenFiles);
  const level = levelSelect();
  const wanted = query.getAll("models");
  const choice = modelChoice(signal, wanted);
  const button = h("button", { type: "submit", class: "primary" }, "Predict");
  const problem = h("div");
  const results = h("div", { "aria-live": "off" });

  function add(more) {
    files.push(...more.filter((file) => !files.some((other) => other.name === file.name && other.size === file.size)));
    replace(chosenFiles, files.map((file) => h("li", {}, file.name, " ", h("button", {
      type: "button", class: "link", "aria-label": `Remove ${file.name}`, onClick: () => {
        files.splice(files.indexOf(file), 1);
        add([]);
      },
    }, "×"))));
  }

  const form = h("form", { class: "card", onSubmit: (event) => {
    event.preventDefault();
    predict();
  } },
    h("div", { class: "columns" },
      h("div", {}, h("span", { class: "label" }, "Structure files"), zone),
      field("Formulas, or the text of a CIF or POSCAR", text, "One formula for each line, or separated by commas.")),
    h("details", { open: wanted.length > 0 }, h("summary", {}, "Options"), h("div", { class: "fields" }, choice.element,
      field("Level of the intervals", level, "The share of true values that intervals are made to hold."))),
    h("div", { class: "row" }, button,
      h("button", { type: "button", onClick: () => {
        files.length = 0;
        add([]);
        text.value = "";
        last = null;
        replace(problem);
        showEmpty();
        text.focus();
      } }, "Clear"),
      link("#/bulk", "Predict a whole file of many")));

  function showEmpty() {
    replace(results, empty("Nothing predicted yet",
      h("p", {}, "Drop files or type formulas above, or try an example:"),
      h("div", { class: "row", role: "group", "aria-label": "Examples" }, EXAMPLES.map(([name, content]) => (
        h("button", { type: "button", onClick: () => {
          text.value = content;
          predict();
        } }, name))))));
    results.querySelector(".row").style.justifyContent = "center";
  }

  async function predict() {
    const typed = inputsOf(text.value);
    if (!typed.length && !files.length) {
      replace(problem, h("p", { class: "notice warn", role: "alert" }, "Give a file or a formula first."));
      return;
    }
    await busy(button, problem, async () => {
      const answer = await ask(files, typed, { ...choice.chosen(), interval_level: Number(level.value) }, signal);
      last = { ...answer, text: text.value, files: [...files] };
      if (signal.aborted) return;
      showAnswer(results, last, again);
      announce(`${plural(last.predictions.length, "value")}, ${plural(last.errors.length, "error")}.`);
    });
  }

  async function again(newLevel) {
    level.value = newLevel;
    await predict();
  }

  acceptDrops(zone, add);
  addEventListener("paste", (event) => event.clipboardData.files.length && add([...event.clipboardData.files]), { signal });
  replace(place, heading("Predict properties of crystals",
    h("p", { class: "lead" }, "From a crystal structure or a formula, with an interval for each value and a word on whether the material is like those the model knows.")),
  form, problem, results);
  if (query.get("formulas")) {
    text.value = query.get("formulas");
    predict();
  } else if (last && !wanted.length) {
    text.value = last.text;
    add(last.files);
    level.value = String(last.level);
    showAnswer(results, last, again);
  } else showEmpty();
}

/** Values and cells of files and typed inputs, asked for side by side; what failed lies in `errors`. */
async function ask(files, typed, wish, signal) {
  const answer = { predictions: [], errors: [], structures: [], level: wish.interval_level };
  const upload = (path, query = {}) => {
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    return request(path, { method: "POST", isSafe: true, form, query, signal });
  };
  const post = (path, inputs, more = {}) => request(path, { method: "POST", isSafe: true, json: { inputs, ...more }, signal });
  // Only for the names of properties: without them the keys do.
  await properties().catch(() => null);
  const crystals = typed.filter((input) => !input.composition);
  const [values, cells] = [[], []];
  if (files.length) {
    values.push(upload("v1/predictions/upload", wish));
    cells.push(upload("v1/structures/upload"));
  }
  if (typed.length) values.push(post("v1/predictions", typed, wish));
  if (crystals.length) cells.push(post("v1/structures", crystals));
  const failed = [];
  for (const outcome of await Promise.allSettled(values)) {
    if (outcome.status === "fulfilled") {
      answer.predictions.push(...outcome.value.predictions);
      answer.errors.push(...outcome.value.errors);
    } else failed.push(outcome.reason);
  }
  // Of a request that could use nothing the problem lists each input; without a list it is the only thing to say.
  for (const error of failed) {
    const listed = error instanceof ApiError ? error.problem.errors?.filter((each) => each.input_id !== undefined) : null;
    if (!listed?.length) throw error;
    answer.errors.push(...listed);
  }
  for (const outcome of await Promise.allSettled(cells)) {
    if (outcome.status === "fulfilled") answer.structures.push(...outcome.value.structures);
    else answer.noCells = outcome.reason.message;
  }
  return answer;
}

function showAnswer(place, answer, again) {
  const cells = new Map(answer.structures.map((structure) => [structure.input_id, structure]));
  const viewer = h("div", { class: "viewer" });
  const showCell = (id) => cells.has(id) && load(viewer, "the cell", async () => cellCard(cells.get(id)));
  const level = levelSelect(String(answer.level), { class: "narrow", "aria-label": "Level of the intervals", onChange: (event) => again(event.target.value) });
  const inputs = new Set(answer.predictions.map((each) => each.input_id));
  const download = h("button", { type: "button", onClick: () => saveText(asCsv(answer), "predictions.csv") }, "Download CSV");
  const values = h("div", {},
    h("div", { class: "row spread" },
      h("p", { class: "muted" }, `${plural(answer.predictions.length, "value")} for ${plural(inputs.size, "input")}`,
        answer.errors.length > 0 && `, ${count(answer.errors.length)} without`, "."),
      h("div", { class: "row" }, h("span", {}, "Intervals"), level, download)),
    answer.noCells && !cells.size && h("p", { class: "notice warn" }, `The cell cannot be shown: ${answer.noCells}`),
    answer.predictions.length > 0 && predictionTable(answer, cells, showCell),
    answer.errors.length > 0 && failures(answer.errors),
    definitions(answer.predictions));
  replace(place, h("h2", {}, "Results"), h("div", { class: "predicting" }, cells.size > 0 && viewer, values));
  const first = answer.structures[0];
  if (first) {
    viewer.classList.add("cell");
    showCell(first.input_id);
  }
}
