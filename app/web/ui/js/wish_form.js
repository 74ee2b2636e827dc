// What a screening looks for: constraints with sliders, objectives, filters of elements.

import { h } from "./dom.js";
import { unitText } from "./format.js";
import { check, field, select } from "./parts.js";

// Where sliders begin and end: what is common of a property. The field beside a slider takes any number.
const SPANS = {
  formation_energy_per_atom: [-5, 1], energy_above_hull: [0, 1], band_gap: [0, 8], band_gap_gllbsc: [0, 10], band_gap_scan: [0, 10],
  band_gap_experimental: [0, 8], k_vrh: [0, 400], g_vrh: [0, 250], dielectric_total: [1, 100], dielectric_electronic: [1, 40],
  refractive_index: [1, 5], last_phdos_peak: [0, 2000], poisson_ratio: [-0.2, 0.5], total_energy_per_atom: [-15, 0], fermi_energy: [-5, 15],
};
const STEPS = 100;
const MOST_OBJECTIVES = 3;
const FIRST_CONSTRAINT = "band_gap";
const GOALS = [["minimise", "as low as possible"], ["maximise", "as high as possible"], ["target", "near to a value"]];

/** `served` are the properties that a model predicts. `values()` gives the wish as requests have it. */
export function wishForm(served) {
  const [constraints, objectives] = [h("div", { class: "stack" }), h("div", { class: "stack" })];
  const parts = { constraints: [], objectives: [] };
  const named = served.map((each) => [each.key, unitText(each.unit) ? `${each.label} (${unitText(each.unit)})` : each.label]);
  const least = h("input", { id: "least", type: "range", min: 0, max: 1, step: 0.05, value: 0.5 });
  const shown = h("output", {}, "0.5");
  least.addEventListener("input", () => { shown.textContent = least.value; });
  const inDomain = check("Only materials like the training data of every model", { checked: true });
  const diverse = check("Of the best, those that differ most in composition");
  const count = h("input", { type: "number", min: 1, max: 10000, value: 50 });
  const [all, none] = [h("input", { placeholder: "O", autocapitalize: "off" }), h("input", { placeholder: "Pb, Cd", autocapitalize: "off" })];

  function add(kind, place, make) {
    const used = parts[kind].map((part) => part.key());
    const part = make(named.find(([key]) => !used.includes(key))?.[0] ?? named[0][0]);
    const what = kind === "constraints" ? "Constraint" : "Objective";
    const remove = h("button", { type: "button", class: "icon", "aria-label": `Remove this ${what.toLowerCase()}`, onClick: () => {
      parts[kind].splice(parts[kind].indexOf(part), 1);
      box.remove();
    } }, "×");
    const box = h("fieldset", {}, h("legend", {}, what), part.element, remove);
    parts[kind].push(part);
    place.append(box);
    return part;
  }

  const addConstraint = () => add("constraints", constraints, (key) => constraint(named, key));
  const addObjective = () => parts.objectives.length < MOST_OBJECTIVES && add("objectives", objectives, (key) => objective(named, key));
  addConstraint().prefer(FIRST_CONSTRAINT);
  return {
    addObjective,
    element: h("div", { class: "columns" },
      h("section", {}, h("h3", {}, "What each must meet"), constraints, h("p", {}, h("button", { type: "button", onClick: addConstraint }, "Add a constraint"))),
      h("section", {}, h("h3", {}, "What is best"), objectives, h("p", {}, h("button", { type: "button", onClick: addObjective }, "Add an objective")),
        h("p", { class: "small muted" }, "None: the likeliest to meet the constraints. Two or three: the Pareto front.")),
      h("section", {}, h("h3", {}, "Which count"),
        h("div", { class: "field" }, h("label", { for: "least" }, "Smallest probability of meeting all constraints: ", shown), least),
        h("div", { class: "fields" }, field("Must hold", all, "Elements, with commas."), field("Must not hold", none, "Elements, with commas."), field("How many to name", count)),
        inDomain, diverse)),
    values() {
      const elements = { all_of: symbols(all.value), none_of: symbols(none.value) };
      return {
        constraints: parts.constraints.map((part) => part.values()).filter(Boolean),
        objectives: parts.objectives.map((part) => part.values()),
        min_probability: Number(least.value), count: Number(count.value),
        in_domain: inDomain.querySelector("input").checked, diverse: diverse.querySelector("input").checked,
        ...(elements.all_of.length || elements.none_of.length ? { elements } : {}),
      };
    },
  };
}

export const symbols = (text) => text.split(/[\s,;]+/).filter(Boolean);

function constraint(named, first) {
  const property = select(named, { value: first, "aria-label": "Property" });
  const [low, high] = [bound("at least"), bound("at most")];
  const span = () => {
    const [from, to] = SPANS[property.value] ?? [0, 100];
    low.span(from, to, from);
    high.span(from, to, to);
  };
  property.addEventListener("change", span);
  span();
  return {
    element: h("div", {}, property, low.element, high.element),
    key: () => property.value,
    prefer(key) {
      if (named.some(([each]) => each === key)) property.value = key;
      span();
    },
    values() {
      const [atLeast, atMost] = [low.value(), high.value()];
      if (atLeast === null && atMost === null) return null;
      return { property: property.value, ...(atLeast === null ? {} : { at_least: atLeast }), ...(atMost === null ? {} : { at_most: atMost }) };
    },
  };
}

/** A slider and a field for one number; empty = no bound. */
function bound(name) {
  const slider = h("input", { type: "range", "aria-label": `${name}, slider` });
  const number = h("input", { type: "number", step: "any", class: "narrow", placeholder: "none", "aria-label": name });
  slider.addEventListener("input", () => { number.value = slider.value; });
  number.addEventListener("input", () => number.value !== "" && (slider.value = number.value));
  return {
    element: h("div", { class: "bounds" }, h("span", { class: "nowrap small" }, name), slider, number),
    span(from, to, rest) {
      Object.assign(slider, { min: from, max: to, step: (to - from) / STEPS });
      slider.value = rest;
      number.value = "";
    },
    value: () => (number.value === "" ? null : Number(number.value)),
  };
}

function objective(named, first) {
  const property = select(named, { value: first, "aria-label": "Property" });
  const goal = select(GOALS, { "aria-label": "Goal" });
  const target = h("input", { type: "number", step: "any", "aria-label": "Value to come near to", hidden: true });
  goal.addEventListener("change", () => {
    target.hidden = goal.value !== "target";
    target.required = !target.hidden;
  });
  return {
    element: h("div", { class: "stack" }, property, goal, target),
    key: () => property.value,
    values: () => ({ property: property.value, goal: goal.value, ...(goal.value === "target" ? { target: Number(target.value) } : {}) }),
  };
}
