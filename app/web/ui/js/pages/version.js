// One version: how good it is, where it comes from, its card.

import { download, request } from "../api.js";
import { h, s } from "../dom.js";
import { bytes, count, figure, percent, time, unitText, withUnit, words } from "../format.js";
import { markdown } from "../markdown.js";
import { busy, confirm, facts, heading, link, load, table, trail } from "../parts.js";
import { metricsTable } from "../training_report.js";

const BOX = { width: 210, height: 46, gap: 54, row: 62 };

export function render(place, { name, version, signal }) {
  document.title = `${name}/${version} · Xtalforge`;
  const path = `v1/models/${encodeURIComponent(name)}/versions/${version}`;
  load(place, "the version", async () => {
    const [card, lineage] = await Promise.all([request(`${path}/card`, { signal }), request(`${path}/lineage`, { signal })]);
    return page(path, card, lineage);
  }, signal);
}

function page(path, card, lineage) {
  const { version: model, trust } = card;
  const told = h("div");
  const remove = h("button", { type: "button", class: "danger", onClick: async () => {
    if (!(await confirm("Delete this version?", "Its number is never given again. Refused while an alias, another version or a job needs it.", "Delete"))) return;
    busy(remove, told, async () => {
      await request(path, { method: "DELETE" });
      location.hash = `#/models/${model.name}`;
    });
  } }, "Delete");
  const save = h("button", { type: "button", class: "primary", onClick: () => busy(save, told, () => download(`${path}/download`, { fileName: `${model.name}-${model.version}.zip` })) }, "Download");
  const label = `${model.name}/${model.version}`;
  return h("div", {}, trail([["Models", "#/models"], [model.name, `#/models/${model.name}`], [`version ${model.version}`]]), heading(label),
    h("p", {}, model.aliases.map((alias) => [h("span", { class: "badge good" }, alias), " "]), model.description),
    model.scope && h("p", { class: "notice warn" }, `Only for ${model.scope}.`),
    h("div", { class: "row" }, save, h("a", { class: "button", href: `#/train?base=${model.name}` }, "Start a training from it"), model.source !== "shipped" && remove), told,
    h("h2", {}, "Errors"), metricsTable(model.metrics, model.property.unit), trust && trustView(trust, model.property.unit),
    h("h2", {}, "Lineage"), lineageGraph(lineage),
    h("h2", {}, "Facts"), facts([
      ["Property", model.property.label, unitText(model.property.unit) && ` (${unitText(model.property.unit)})`], ["What it is", model.property.definition],
      ["Reads a", model.input_kind], ["Architecture", model.architecture], ["Method", words(model.method)],
      ["Trained on", model.dataset_id ? link(`#/data/${model.dataset_id}`, model.dataset) : model.dataset], model.job_id && ["Job", link(`#/train/${model.job_id}`, model.job_id)],
      ["Elements it saw", model.elements.length ? `${model.elements.length}: ${model.elements.join(" ")}` : "not recorded"],
      ["Weights", bytes(model.size_bytes)], ["SHA-256", h("code", {}, model.sha256)], ["Registered", time(model.created_at)],
    ]),
    h("details", { class: "card" }, h("summary", {}, "Model card"), h("div", { class: "markdown" }, markdown(card.markdown))));
}

function trustView(trust, unit) {
  const coverage = trust.coverage_new_formulas ?? trust.coverage;
  return h("details", { class: "card" }, h("summary", {}, "How far to trust it"), facts([
    coverage && ["Intervals of level 90 %", `hold ${percent(coverage.share, 1)} of ${count(coverage.n)} rows that set no width; mean width ${withUnit(figure(coverage.mean_width), unit)}`],
    trust.mae_inside !== null && ["Error inside the domain", withUnit(figure(trust.mae_inside), unit)],
    trust.mae_outside !== null && ["Error outside the domain", withUnit(figure(trust.mae_outside), unit)],
    ["Highest level", percent(trust.highest_level, 1)], ["Calibrated on", trust.calibrated_on],
  ]), trust.families.length > 0 && table({ caption: "By family of compounds", rows: trust.families, columns: [
    { label: "Family", head: true, cell: (row) => row.family, sort: (row) => row.family }, { label: "Rows", numeric: true, cell: (row) => count(row.n), sort: (row) => row.n },
    { label: "MAE", numeric: true, cell: (row) => withUnit(figure(row.mae), unit), sort: (row) => row.mae },
    { label: "Held by 90 % intervals", numeric: true, cell: (row) => percent(row.covered), sort: (row) => row.covered },
  ] }));
}

/** Ancestors to the left, what came from it to the right; each box is a link. */
function lineageGraph({ version, ancestors, children }) {
  const chain = [...[...ancestors].reverse().map((each) => [each]), [version], ...(children.length ? [children] : [])];
  const rows = Math.max(1, children.length);
  const width = chain.length * BOX.width + (chain.length - 1) * BOX.gap + 4;
  const height = rows * BOX.row + 4;
  const at = (column, index, n) => ({ x: 2 + column * (BOX.width + BOX.gap), y: 2 + (height - 4 - n * BOX.row) / 2 + index * BOX.row + (BOX.row - BOX.height) / 2 });
  const boxes = chain.flatMap((versions, column) => versions.map((each, index) => ({ each, ...at(column, index, versions.length), isCurrent: each === version, column })));
  const edges = boxes.filter((box) => box.column > 0).map((box) => {
    const from = boxes.find((other) => other.column === box.column - 1);
    const [x, y, u, v] = [from.x + BOX.width, from.y + BOX.height / 2, box.x, box.y + BOX.height / 2];
    return s("path", { d: `M${x} ${y}C${x + BOX.gap / 2} ${y} ${u - BOX.gap / 2} ${v} ${u} ${v}` });
  });
  const text = (each) => `${each.name}/${each.version}`;
  const cut = (name) => (name.length > 29 ? `${name.slice(0, 28)}…` : name);
  const svg = s("svg", { class: "lineage", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Lineage: where the weights come from and what came from them" },
    edges, boxes.map(({ each, x, y, isCurrent }) => s("a", { href: `#/models/${each.name}/${each.version}`, class: isCurrent ? "current" : null, "aria-current": isCurrent ? "page" : null },
      s("title", {}, text(each)), s("rect", { x, y, width: BOX.width, height: BOX.height, rx: 6 }),
      s("text", { x: x + 10, y: y + 20 }, cut(text(each))), s("text", { class: "sub", x: x + 10, y: y + 37 }, `${words(each.method)}, ${each.property.label}`.slice(0, 36)))));
  return h("div", {}, h("div", { class: "scroll" }, h("div", { class: "lineage" }, svg)),
    !ancestors.length && !children.length && h("p", { class: "small muted" }, "It was trained from random weights, and nothing was trained from it yet."));
}
