// What a screening looks through: formulas, a file, a data set, or candidates that are made.

import { h, replace } from "./dom.js";
import { plural, words } from "./format.js";
import { inputsOf } from "./inputs.js";
import { field, check, select } from "./parts.js";
import { symbols } from "./wish_form.js";

const KINDS = [
  ["prototypes", "Made: elements on structure types"], ["solid_solution", "Made: compositions between end members"],
  ["substitutions", "Made: elements exchanged in a structure"], ["list", "Formulas, or the text of a structure"], ["file", "A file"], ["dataset", "A data set that is here"],
];
const FIRST_TYPE = "perovskite";
const TYPE_NAMES = { alpha_nafeo2: "α-NaFeO₂", l12: "L1₂", b2: "B2", cesium_chloride: "CsCl", nickel_arsenide: "NiAs", half_heusler: "half-Heusler", full_heusler: "full Heusler", rocksalt: "rock salt" };

/** `values()` gives `{ json }` or `{ file }`. `prototypes` are the names of the structure types. */
export function candidatesForm(datasets, prototypes) {
  const kind = select(KINDS.filter(([key]) => key !== "dataset" || datasets.length));
  const place = h("div");
  const makers = { prototypes: () => prototypesForm(prototypes), solid_solution: solidSolution, substitutions, list, file, dataset: () => dataset(datasets) };
  let current = null;
  const show = () => {
    current = makers[kind.value]();
    replace(place, current.element);
  };
  kind.addEventListener("change", show);
  show();
  return { element: h("div", {}, field("Candidates", kind), place), values: () => current.values() };
}

function prototypesForm(names) {
  const boxes = names.map((name) => check(TYPE_NAMES[name] ?? words(name), { value: name, checked: name === FIRST_TYPE }));
  const sites = [["A", "Ca, Sr, Ba"], ["B", "Ti, Zr, Hf, Sn"], ["C", ""], ["X", "O, S"]].map(([site, value]) => [site, h("input", { value, autocapitalize: "off" })]);
  const others = h("input", { placeholder: "all that are stable enough", autocapitalize: "off" });
  const fit = check("Of perovskites only those whose ions fit, by Goldschmidt's tolerance factor and the octahedral factor");
  return {
    element: h("div", {}, h("fieldset", {}, h("legend", {}, "Structure types"), h("div", { class: "fields small" }, boxes)),
      h("div", { class: "fields" }, sites.map(([site, input]) => field(`Elements on site ${site}`, input)), field("On every other site", others)), fit,
      h("p", { class: "small muted" }, "Every combination is made, the cell scaled by radii; only those whose common oxidation states balance are kept. X is the anion.")),
    values() {
      const chosen = boxes.map((box) => box.querySelector("input")).filter((input) => input.checked).map((input) => input.value);
      const given = Object.fromEntries(sites.map(([site, input]) => [site, symbols(input.value)]).filter(([, elements]) => elements.length));
      const elements = symbols(others.value);
      return { json: { generator: { kind: "prototypes", ...(chosen.length ? { prototypes: chosen } : {}), sites: given, ...(elements.length ? { elements } : {}), ...(fit.querySelector("input").checked ? { perovskite_fit: {} } : {}) } } };
    },
  };
}

function solidSolution() {
  const ends = h("input", { required: true, value: "BaTiO3, SrTiO3, CaTiO3", autocapitalize: "off" });
  const steps = h("input", { type: "number", min: 1, max: 1000, value: 20 });
  return {
    element: h("div", { class: "fields" }, field("End members", ends, "Formulas, with commas."), field("Steps", steps, "Amounts are whole multiples of 1 / steps. Only models that read compositions answer.")),
    values: () => ({ json: { generator: { kind: "solid_solution", ends: symbols(ends.value), steps: Number(steps.value) } } }),
  };
}

function substitutions() {
  const text = h("textarea", { required: true, rows: 5, spellcheck: "false" });
  const exchange = h("textarea", { required: true, rows: 3, spellcheck: "false", placeholder: "Sr: Ca, Sr, Ba\nTi: Zr, Hf" });
  return {
    element: h("div", { class: "fields" }, field("Structure (text of a CIF or POSCAR)", text), field("What may take whose place", exchange, "One element for each line; list the element itself to keep it as a choice.")),
    values() {
      const [structure] = inputsOf(text.value);
      const pairs = exchange.value.split("\n").map((line) => line.split(":")).filter(([element]) => element.trim());
      return { json: { generator: { kind: "substitutions", structures: structure ? [structure] : [], substitutions: Object.fromEntries(pairs.map(([element, choices]) => [element.trim(), symbols(choices ?? "")])) } } };
    },
  };
}

function list() {
  const text = h("textarea", { required: true, rows: 6, spellcheck: "false", placeholder: "SrTiO3, BaTiO3, NaCl" });
  return { element: field("Formulas, or the text of a CIF or POSCAR", text), values: () => ({ json: { candidates: inputsOf(text.value) } }) };
}

function file() {
  const input = h("input", { type: "file", required: true, accept: ".csv,.jsonl,.parquet,.zip" });
  return { element: field("File", input, "CSV, JSONL or Parquet with a column cif, poscar, structure, composition or formula; or a zip of structure files."), values: () => ({ file: input.files[0] }) };
}

function dataset(datasets) {
  const choice = select(datasets.map((each) => [each.id, `${each.name} (${plural(each.n_rows, "row")})`]));
  return { element: field("Data set", choice, "Its labels are not looked at."), values: () => ({ json: { dataset_id: choice.value } }) };
}
