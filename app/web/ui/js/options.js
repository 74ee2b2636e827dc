// Controls for settings that the API's own description tells of: what it offers tomorrow is there tomorrow.

import { h } from "./dom.js";
import { words } from "./format.js";
import { field, select } from "./parts.js";

const CHOSEN = "chosen by the service";

const TITLES = { n_folds: "Folds", n_trials: "Trials", val_fraction: "Validation fraction" };

function title(name) {
  const text = words(name);
  return TITLES[name] ?? text[0].toUpperCase() + text.slice(1);
}

/** Controls for `names` of a schema; `values()` gives those that were filled in. */
export function optionFields(schema, names) {
  const controls = names.filter((name) => schema.properties[name]).map((name) => [name, control(schema.properties[name])]);
  return {
    element: h("div", { class: "fields" }, controls.map(([name, made]) => field(title(name), made.element, schema.properties[name].description?.replaceAll("`", "") ?? null))),
    values: () => Object.fromEntries(controls.map(([name, made]) => [name, made.value()]).filter(([, value]) => value !== null)),
  };
}

function control({ anyOf = [], ...single }) {
  const kinds = anyOf.length ? anyOf : [single];
  const choices = kinds.find((kind) => kind.enum)?.enum;
  if (choices) {
    const element = select([["", CHOSEN], ...choices.map((choice) => [choice, choice])]);
    return { element, value: () => element.value || null };
  }
  const numeric = kinds.find((kind) => kind.type === "integer" || kind.type === "number");
  const texts = kinds.filter((kind) => kind.const).map((kind) => kind.const);
  const element = h("input", {
    inputmode: numeric ? "decimal" : "text", placeholder: texts.length ? `${CHOSEN}, or ${texts.join(", ")}` : CHOSEN,
    autocapitalize: "off",
  });
  const value = () => {
    const text = element.value.trim();
    if (!text) return null;
    // What is no number goes as it is: the service says what is wrong with it.
    return numeric && Number.isFinite(Number(text)) ? Number(text) : text;
  };
  return { element, value };
}
