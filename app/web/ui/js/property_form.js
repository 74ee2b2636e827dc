// What the labels of a data set are: a property of the catalogue, or one of the user's own.

import { h } from "./dom.js";
import { unitText } from "./format.js";
import { field, select } from "./parts.js";

const OWN = "";

/** `values()` gives the form fields of an upload. */
export function propertyForm(catalogue) {
  const choice = select([...catalogue.map((each) => [each.key, each.unit === "1" ? each.label : `${each.label} (${unitText(each.unit)})`]),
    [OWN, "A property of your own …"]], { value: "k_vrh" });
  const key = h("input", { placeholder: "seebeck_coefficient", pattern: "[a-z][a-z0-9_]*", autocapitalize: "off" });
  const unit = h("input", { placeholder: "µV/K" });
  const transform = select([["identity", "As it is"], ["log10", "Logarithm (values over decades)"]]);
  const definition = h("p", { class: "small muted" });
  const own = h("div", { class: "fields", hidden: true },
    field("Key", key, "Small letters, digits and _; also the name of the column."),
    field("Unit", unit, "1 for a plain number."), field("Scale to learn it on", transform));
  const tell = () => {
    own.hidden = choice.value !== OWN;
    key.required = unit.required = !own.hidden;
    definition.textContent = catalogue.find((each) => each.key === choice.value)?.definition ?? "";
  };
  choice.addEventListener("change", tell);
  tell();
  return {
    element: h("div", {}, field("Property", choice), definition, own),
    values: () => (choice.value === OWN ? { property: key.value.trim(), unit: unit.value.trim(), transform: transform.value } : { property: choice.value }),
  };
}
