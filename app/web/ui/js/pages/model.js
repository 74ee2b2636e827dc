// One model: its versions, where its aliases point, and how to move them.

import { all, ApiError, request, send } from "../api.js";
import { h } from "../dom.js";
import { forgetProperties } from "../models_choice.js";
import { figure, time, unitText, withUnit, words } from "../format.js";
import { busy, empty, facts, field, heading, link, load, notice, select, table, trail } from "../parts.js";

const CHAMPION = "champion";

export function render(place, { name, signal }) {
  document.title = `${name} · Xtalforge`;
  const path = `v1/models/${encodeURIComponent(name)}`;
  const show = (message = null) => load(place, "the model", async () => {
    const [model, versions] = await Promise.all([request(path, { signal }), all(`${path}/versions`, { signal })]);
    const aliases = await Promise.all(Object.keys({ [CHAMPION]: 0, ...model.aliases }).map((alias) => readAlias(path, alias, signal)));
    return page(path, model, versions, aliases.filter(Boolean), message, show);
  }, signal);
  show();
}

/** The alias with its ETag, which makes a move conditional on nobody having moved it meanwhile. */
async function readAlias(path, alias, signal) {
  try {
    const [response, history] = await Promise.all([send(`${path}/aliases/${alias}`, { signal }), request(`${path}/aliases/${alias}/history`, { signal })]);
    return { ...(await response.json()), etag: response.headers.get("ETag"), history: history.items };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

function page(path, model, versions, aliases, message, show) {
  const newest = versions[0];
  return h("div", {}, trail([["Models", "#/models"], [model.name]]), heading(model.name), message && notice("good", h("p", {}, message)),
    h("p", {}, model.description), newest && h("p", {}, link(`#/suggest?model=${encodeURIComponent(model.name)}`, "What to measure next for it")),
    newest && facts([["Property", newest.property.label, unitText(newest.property.unit) && ` (${unitText(newest.property.unit)})`], ["What it is", newest.property.definition], ["Reads a", model.input_kind]]),
    versionTable(versions), h("h2", {}, "Aliases"), h("div", { class: "columns" },
      aliases.map((alias) => aliasCard(path, alias, versions, show)), newAlias(path, aliases, versions, show)));
}

function versionTable(versions) {
  if (!versions.length) return empty("No version left");
  return table({ caption: "Versions, newest first", rows: versions, columns: [
    { label: "Version", head: true, cell: (row) => link(`#/models/${row.name}/${row.version}`, `version ${row.version}`), sort: (row) => row.version },
    { label: "Aliases", cell: (row) => row.aliases.map((alias) => h("span", { class: "badge good" }, alias)) },
    { label: "Method", cell: (row) => `${words(row.method)} (${row.architecture})` },
    { label: "Test MAE", numeric: true, cell: (row) => (row.metrics.test ? withUnit(figure(row.metrics.test.mae), row.property.unit) : "–"), sort: (row) => row.metrics.test?.mae },
    { label: "Trained on", cell: (row) => (row.dataset_id ? link(`#/data/${row.dataset_id}`, row.dataset) : row.dataset) },
    { label: "From", cell: (row) => (row.parent ? link(`#/models/${row.parent.name}/${row.parent.version}`, `${row.parent.name}/${row.parent.version}`) : "–") },
    { label: "Made", cell: (row) => time(row.created_at), sort: (row) => row.created_at },
  ] });
}

function versionSelect(versions, value) {
  return select(versions.map((each) => [each.version, `version ${each.version}${each.metrics.test ? `, test MAE ${withUnit(figure(each.metrics.test.mae), each.property.unit)}` : ""}`]), { value });
}

function aliasCard(path, alias, versions, show) {
  const target = versionSelect(versions, alias.version);
  const reason = h("input", { maxlength: 1000 });
  const told = h("div");
  const change = async (address, method, json, message) => {
    await send(address, { method, json, headers: { "If-Match": alias.etag } });
    forgetProperties();
    show(message);
  };
  const address = `${path}/aliases/${alias.alias}`;
  const move = h("button", { type: "submit", class: "primary" }, alias.alias === CHAMPION ? "Promote" : "Move");
  const back = h("button", { type: "button", onClick: () => busy(back, told, () => (
    change(`${address}/rollback`, "POST", { reason: reason.value }, `${alias.alias} points again where it pointed before.`))) }, "Roll back");
  const remove = h("button", { type: "button", class: "danger", onClick: () => busy(remove, told, () => change(address, "DELETE", undefined, `${alias.alias} was removed.`)) }, "Remove");
  return h("form", { class: "card", "aria-label": `Alias ${alias.alias}`, onSubmit: (event) => {
    event.preventDefault();
    busy(move, told, () => change(address, "PUT", { version: Number(target.value), reason: reason.value }, `${alias.alias} is version ${target.value} now.`));
  } },
    h("h3", {}, alias.alias, " → version ", String(alias.version)),
    alias.alias === CHAMPION && h("p", { class: "small muted" }, "It answers wherever the model is named without a version, from the next request on."),
    field("Point it at", target), field("Reason", reason, "Kept in the history."),
    h("div", { class: "row" }, move, back, alias.alias !== CHAMPION && remove), told,
    h("details", {}, h("summary", {}, `History (${alias.history.length})`), table({ caption: `Moves of ${alias.alias}, newest first`, rows: alias.history, columns: [
      { label: "When", head: true, cell: (row) => time(row.changed_at) }, { label: "What", cell: (row) => words(row.kind) },
      { label: "From", numeric: true, cell: (row) => row.from_version ?? "–" }, { label: "To", numeric: true, cell: (row) => row.to_version ?? "–" }, { label: "Why", cell: (row) => row.reason || "–" },
    ] })));
}

function newAlias(path, aliases, versions, show) {
  if (!versions.length) return null;
  const missing = !aliases.some((alias) => alias.alias === CHAMPION);
  const name = h("input", { required: true, pattern: "[a-z0-9][a-z0-9._\\-]{0,63}", value: missing ? CHAMPION : "", placeholder: "candidate", autocapitalize: "off" });
  const target = versionSelect(versions, versions[0].version);
  const told = h("div");
  const button = h("button", { type: "submit", class: missing ? "primary" : "" }, missing ? "Promote" : "Add");
  return h("form", { class: "card", "aria-label": "New alias", onSubmit: (event) => {
    event.preventDefault();
    busy(button, told, async () => {
      await send(`${path}/aliases/${encodeURIComponent(name.value)}`, { method: "PUT", json: { version: Number(target.value), reason: "" }, headers: { "If-None-Match": "*" } });
      forgetProperties();
      show(`${name.value} is version ${target.value} now.`);
    });
  } },
    h("h3", {}, missing ? "No champion yet" : "Another alias"),
    missing && h("p", {}, "The model answers only where a version is named, until one is promoted."),
    field("Name", name), field("Point it at", target), h("div", { class: "row" }, button), told);
}

