// The key of the API, for as long as the tab is open, and what the service is.

import { apiKey, description, request } from "../api.js";
import { announce, h, replace } from "../dom.js";
import { time } from "../format.js";
import { field, facts, heading, load, notice } from "../parts.js";

export function render(place, { signal }) {
  const key = h("input", { type: "password", autocomplete: "off", spellcheck: "false", value: apiKey.get() });
  const told = h("div", { role: "status" });
  const service = h("div", { class: "card" });
  const form = h("form", { class: "card", onSubmit: async (event) => {
    event.preventDefault();
    apiKey.set(key.value.trim());
    announce("Key kept.");
    await tryKey(told, signal);
  } },
    h("h2", {}, "API key"),
    h("p", {}, "Only needed where the service asks for one. It is kept in this tab, sent to this service alone, and forgotten when the tab is closed."),
    field("Key", key, "Such as xf_… from your administrator."),
    h("div", { class: "row" }, h("button", { type: "submit", class: "primary" }, "Keep"),
      h("button", { type: "button", onClick: () => {
        key.value = "";
        apiKey.set("");
        replace(told, notice("good", h("p", {}, "The key is forgotten.")));
      } }, "Forget")), told);
  replace(place, heading("Settings"), form, service);
  load(service, "the state of the service", async () => {
    const [{ info }, health] = await Promise.all([description(), request("health/ready", { signal })]);
    return [h("h2", {}, "Service"), facts([
      ["Version", info.version], ["State", health.status],
      ...Object.entries(health.checks).map(([name, state]) => [name, state]),
      ["API", h("a", { href: "docs" }, "Documentation, to try out")],
    ])];
  }, signal);
}

async function tryKey(told, signal) {
  try {
    const access = await request("v1/access", { signal });
    replace(told, notice("good", h("p", {}, access.key_id ? `The service takes this key, ${access.key_name}.` : "The service needs no key from here.",
      ` Tenant ${access.tenant}; it may do: ${access.scopes.join(", ")}.`,
      access.key_expires_at && [" It ends on ", time(access.key_expires_at), "."])));
  } catch (error) {
    replace(told, notice("bad", h("p", {}, error.message)));
  }
}
