// Which models answer, and at which level: the same choice for single and for bulk predictions.

import { all, request } from "./api.js";
import { h, replace } from "./dom.js";
import { field, check, select } from "./parts.js";
import { withUnit, words } from "./format.js";

export const LEVELS = [["0.5", "50 %"], ["0.68", "68 %"], ["0.8", "80 %"], ["0.9", "90 %"], ["0.95", "95 %"], ["0.99", "99 %"]];

export const levelSelect = (value = "0.9", attributes = {}) => select(LEVELS, { value, ...attributes });

let catalogue = null;
const labels = new Map();
/** The properties with their models, as /v1/properties has them; asked for once, for whichever page. */
export function properties() {
  catalogue ??= request("v1/properties").then(({ items }) => {
    for (const { key, label } of items) labels.set(key, label);
    return items;
  });
  catalogue.catch(() => { catalogue = null; });
  return catalogue;
}

/** A property's name for people, once the properties were loaded; else its key in words. */
export const labelOf = (key) => labels.get(key) ?? words(key);

/** Call it when models change. */
export const forgetProperties = () => { catalogue = null; };

/**
 * A group of controls, at first at the models that are named in `wanted`; `chosen()` gives `{ models }`, `{ properties }` or nothing of both, as requests have them.
 */
export function modelChoice(signal, wanted = []) {
  const how = select([["all", "Every model that fits"], ["properties", "Only certain properties"], ["models", "Certain models"]], { value: wanted.length ? "models" : "all" });
  const list = h("div", { class: "stack small" });
  how.addEventListener("change", () => offer());

  async function offer() {
    if (how.value === "all") return replace(list);
    try {
      if (how.value === "properties") {
        const served = (await properties()).filter((each) => each.models.some((model) => !model.only_when_named));
        return replace(list, served.map((each) => check(withUnit(each.label, each.unit === "1" ? "" : `(${each.unit})`), { value: each.key })));
      }
      const models = (await all("v1/models", { signal })).filter((model) => model.champion).map((model) => [model.name, `${model.name} (${model.input_kind})`]);
      const others = wanted.filter((name) => !models.some(([known]) => known === name)).map((name) => [name, name]);
      return replace(list, [...others, ...models].map(([name, text]) => check(text, { value: name, checked: wanted.includes(name) })));
    } catch (error) {
      return replace(list, h("p", {}, error.message));
    }
  }

  // What is wanted holds before the list is there.
  replace(list, wanted.map((name) => check(name, { value: name, checked: true })));
  if (wanted.length) offer();
  const element = h("div", {}, field("Models", how), list);
  return {
    element,
    chosen() {
      const values = [...list.querySelectorAll("input:checked")].map((input) => input.value);
      return how.value === "all" || !values.length ? {} : { [how.value]: values };
    },
  };
}
