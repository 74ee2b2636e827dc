// What several pages are made of.

import { ApiError } from "./api.js";
import { announce, h, replace, uniqueId } from "./dom.js";
import { count, words } from "./format.js";

const ROWS_SHOWN = 100;
// A table with more columns becomes a list of its rows where the screen is narrow.
const MOST_ON_A_PHONE = 3;

export const link = (hash, ...children) => h("a", { href: hash }, ...children);

/** What went wrong, with its cause and what to do; `retry` adds a button. A page that has no heading gets this one. */
export function errorBox(error, retry = null) {
  const level = document.querySelector("main h1") ? "h2" : "h1";
  if (!(error instanceof ApiError)) console.error(error);
  const problem = error instanceof ApiError ? error.problem : { title: "Something went wrong in this page", detail: String(error) };
  // How programs send a key is of no use to a person at this page.
  const detail = problem.code === "key_missing" ? "This service answers only with a key, which its administrator makes." : problem.detail;
  const fields = (problem.errors ?? []).filter((each) => each.detail).slice(0, 20);
  return h("div", { class: "notice bad", role: "alert" },
    h(level, {}, problem.title ?? "That did not work"),
    h("p", {}, detail),
    fields.length > 1 && h("ul", {}, fields.map((each) => h("li", {},
      h("code", {}, each.field ?? each.input_id ?? ""), " ", each.detail))),
    error.status === 401 && h("p", {}, link("#/settings", "Enter an API key"), " in the settings of this page."),
    error.status === 403 && h("p", {}, "The API key of this page may not do that: ", link("#/settings", "use another one"), "."),
    error.retryAfter && h("p", {}, `Try again in ${error.retryAfter} s.`),
    problem.code && h("p", { class: "small muted" }, "Code ", h("code", {}, problem.code),
      problem.request_id && [", request ", h("code", {}, problem.request_id)]),
    retry && h("button", { type: "button", onClick: retry }, "Try again"));
}

export const notice = (kind, ...children) => h("div", { class: `notice ${kind}` }, ...children);

export const empty = (title, ...children) => h("div", { class: "card empty" }, h("p", {}, h("strong", {}, title)), ...children);

export const loading = (what) => h("p", { class: "muted", role: "status" }, `Loading ${what} …`);

/** Load into `place`: shows that it loads, then what `make` gives, or the error with a way to try again. */
export async function load(place, what, make, signal) {
  replace(place, loading(what));
  try {
    const made = await make();
    if (!signal?.aborted) replace(place, made);
  } catch (error) {
    if (signal?.aborted) return;
    replace(place);
    replace(place, errorBox(error, () => load(place, what, make, signal)));
  }
}

/** Run `work` while the button shows that it does; errors go to `place`. */
export async function busy(button, place, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  // Not `disabled`: that would take the focus away from who pressed it by keyboard.
  button.setAttribute("aria-busy", "true");
  button.setAttribute("aria-disabled", "true");
  replace(place);
  try {
    await work();
  } catch (error) {
    if (error.name !== "AbortError") replace(place, errorBox(error));
  } finally {
    button.removeAttribute("aria-busy");
    button.removeAttribute("aria-disabled");
  }
}

/** A labelled control with a hint that belongs to it. */
export function field(label, control, hint = null) {
  control.id ||= uniqueId("field");
  const hintId = hint && `${control.id}-hint`;
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control,
    hint && h("p", { class: "hint", id: hintId }, hint));
}

/** `options` are `[value, text]` or `{ group, options }`. */
export function select(options, attributes = {}) {
  const option = ([value, text]) => h("option", { value }, text ?? value);
  const element = h("select", attributes, options.map((each) => (
    Array.isArray(each) ? option(each) : h("optgroup", { label: each.group }, each.options.map(option))
  )));
  if (attributes.value !== undefined) element.value = attributes.value;
  return element;
}

export const check = (label, attributes = {}) => h("label", { class: "check" }, h("input", { type: "checkbox", ...attributes }), label);

export function tiles(entries) {
  return h("div", { class: "tiles" }, entries.filter(Boolean).map(([figure, what]) => (
    h("div", { class: "tile" }, h("span", { class: "figure" }, figure), h("span", { class: "what" }, what))
  )));
}

export function facts(entries) {
  return h("dl", { class: "facts" }, entries.filter((each) => each && each[1] !== null && each[1] !== undefined)
    .map(([term, ...what]) => [h("dt", {}, term), h("dd", {}, ...what)]));
}

const STATES = {
  succeeded: "good", failed: "bad", cancelled: "warn", expired: "bad", cancelling: "warn", pausing: "warn", paused: "warn", running: "info", queued: "info",
  validating: "info",
};
export const FINAL = new Set(["succeeded", "failed", "cancelled", "expired"]);

export const statusBadge = (status) => h("span", { class: `badge ${STATES[status] ?? "info"}` }, words(status));

/**
 * A table that scrolls by itself. `columns` are `{ label, cell(row), numeric, sort(row), head }`; `head` makes the cell the
 * row's heading, `sort` gives what to sort by. Long tables show their first rows and a button for more.
 */
export function table({ caption, columns, rows, tall = false, shown = ROWS_SHOWN, rowAttributes = () => ({}), sorted = null }) {
  const body = h("tbody", { role: "rowgroup" });
  const captionId = uniqueId("caption");
  const more = h("div", { class: "row" });
  let order = sorted;
  let limit = shown;
  const heads = columns.map((column, index) => h("th", {
    role: "columnheader", scope: "col", class: column.numeric ? "numeric" : null,
    "aria-sort": order?.index === index ? (order.down ? "descending" : "ascending") : null,
  }, column.sort ? h("button", { type: "button", onClick: () => sortBy(index) }, column.label) : column.label));

  function sortBy(index) {
    order = { index, down: order?.index === index ? !order.down : false };
    heads.forEach((head, at) => (at === index
      ? head.setAttribute("aria-sort", order.down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    draw();
    announce(`Sorted by ${columns[index].label}, ${order.down ? "descending" : "ascending"}.`);
  }

  function ordered() {
    if (!order) return rows;
    const value = columns[order.index].sort;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      // What has no value comes last, whatever the direction.
      if (x === null || x === undefined) return y === null || y === undefined ? 0 : 1;
      if (y === null || y === undefined) return -1;
      const sign = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return order.down ? -sign : sign;
    };
    return [...rows].sort(compare);
  }

  function draw() {
    replace(body, ordered().slice(0, limit).map((row) => h("tr", { role: "row", ...rowAttributes(row) }, columns.map((column) => h(
      column.head ? "th" : "td", {
        role: column.head ? "rowheader" : "cell", class: column.numeric ? "numeric" : null, scope: column.head ? "row" : null,
        "data-label": column.label,
      }, column.cell(row),
    )))));
    replace(more, rows.length > limit && h("button", { type: "button", onClick: () => {
      limit *= 5;
      draw();
    } }, `Show more (${count(limit)} of ${count(rows.length)} shown)`));
  }

  draw();
  return h("div", {}, h("div", { class: `scroll${tall ? " tall" : ""}`, tabindex: "0", role: "region", "aria-labelledby": captionId },
    h("table", { role: "table", "aria-labelledby": captionId, class: columns.length > MOST_ON_A_PHONE ? "stacks" : null }, h("caption", { id: captionId }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), body)), more);
}

/** Ask before something that cannot be undone; true when the person agrees. */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    const done = (answer) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    const dialog = h("dialog", { class: "card", "aria-labelledby": "confirm-title", onCancel: () => done(false) },
      h("h2", { id: "confirm-title" }, title), h("p", {}, text),
      h("div", { class: "row end" },
        h("button", { type: "button", onClick: () => done(false) }, "Cancel"),
        h("button", { type: "button", class: "danger", onClick: () => done(true) }, action)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function heading(title, ...more) {
  return [h("h1", { tabindex: "-1" }, title), ...more];
}

/** Where one is, with a way back: `[["Models", "#/models"], ["name"]]`. */
export function trail(steps) {
  return h("nav", { class: "trail", "aria-label": "Breadcrumb" },
    steps.map(([text, hash], index) => [index > 0 && " / ", hash ? link(hash, text) : h("span", { "aria-current": "page" }, text)]));
}
