// Start a screening: what to look through, what must hold, what is best.

import { allAllowed, description, newKey, request } from "../api.js";
import { candidatesForm } from "../candidates_form.js";
import { h, replace } from "../dom.js";
import { properties } from "../models_choice.js";
import { busy, empty, heading, link, load } from "../parts.js";
import { wishForm } from "../wish_form.js";

export function render(place, { signal }) {
  const body = h("div");
  replace(place, heading("Screen candidates",
    h("p", { class: "lead" }, "Predict properties of many candidates, keep those that are likely to meet your constraints, and name the best.")), body);
  load(body, "properties and data sets", async () => {
    const [catalogue, datasets, api] = await Promise.all([properties(), allAllowed("v1/datasets", { signal }), description()]);
    const served = catalogue.filter((each) => each.models.length);
    if (!served.length) return empty("No model answers yet", h("p", {}, link("#/train", "Train one"), " or ", link("#/models", "promote one"), "."));
    return form(served, datasets, structureTypes(api), signal);
  }, signal);
}

/** The names that the API's own description lists. */
function structureTypes(api) {
  const schema = api.paths["/v1/screenings"]?.post.requestBody.content["application/json"].schema;
  return (schema?.$defs?.PrototypeName ?? api.components.schemas.PrototypeName)?.enum ?? [];
}

function form(served, datasets, prototypes, signal) {
  const candidates = candidatesForm(datasets, prototypes);
  const wish = wishForm(served);
  wish.addObjective();
  const told = h("div");
  const button = h("button", { type: "submit", class: "primary" }, "Screen");
  return h("form", { onSubmit: (event) => {
    event.preventDefault();
    busy(button, told, async () => {
      const wanted = wish.values();
      const { file, json } = candidates.values();
      const body = new FormData();
      if (file) {
        body.append("file", file);
        body.append("wish", JSON.stringify(wanted));
      }
      const content = file ? { form: body } : { json: { ...json, ...wanted } };
      const job = await request("v1/screenings", { method: "POST", signal, headers: { "Idempotency-Key": newKey() }, ...content });
      location.hash = `#/screen/${job.id}`;
    });
  } },
    h("section", { class: "card" }, h("h2", {}, "What to look through"), candidates.element),
    h("section", { class: "card" }, h("h2", {}, "What to look for"), wish.element),
    h("div", { class: "row" }, button), told);
}
