// Which page is shown: the part of the address after `#`, so that links, bookmarks and the back button work.

import { description, request } from "./api.js";
import { append, h, replace } from "./dom.js";
import { errorBox } from "./parts.js";

const ROUTES = [
  [/^\/predict$/, "./pages/predict.js", "Predict"],
  [/^\/bulk$/, "./pages/bulk.js", "Predict a whole file"],
  [/^\/bulk\/(?<id>[\w-]+)$/, "./pages/bulk_job.js", "Bulk prediction"],
  [/^\/screen$/, "./pages/screen.js", "Screen candidates"],
  [/^\/screen\/(?<id>[\w-]+)$/, "./pages/screening.js", "Screening"],
  [/^\/data$/, "./pages/data.js", "Data sets"],
  [/^\/data\/(?<id>[\w-]+)$/, "./pages/dataset.js", "Data set"],
  [/^\/train$/, "./pages/train.js", "Train a model"],
  [/^\/train\/(?<id>[\w-]+)$/, "./pages/training.js", "Training"],
  [/^\/suggest$/, "./pages/suggest.js", "What to measure next"],
  [/^\/models$/, "./pages/models.js", "Models"],
  [/^\/models\/(?<name>[^/]+)$/, "./pages/model.js", "Model"],
  [/^\/models\/(?<name>[^/]+)\/(?<version>\d+)$/, "./pages/version.js", "Model version"],
  [/^\/jobs$/, "./pages/jobs.js", "Jobs"],
  [/^\/webhooks$/, "./pages/webhooks.js", "Webhooks"],
  [/^\/settings$/, "./pages/settings.js", "Settings"],
];
const HOME = "#/predict";
const SERVICE_EVERY_MS = 30_000;

const main = document.getElementById("main");
let leaving = new AbortController();
let isFirst = true;

/** The page that an address names: `{ module, title, parameters, query }`, or null. */
function find(hash) {
  const [path, search = ""] = hash.replace(/^#/, "").split("?");
  for (const [pattern, module, title] of ROUTES) {
    const match = pattern.exec(path);
    if (match) {
      const parameters = Object.fromEntries(Object.entries(match.groups ?? {}).map(([k, v]) => [k, decoded(v)]));
      return { module, title, parameters, query: new URLSearchParams(search) };
    }
  }
  return null;
}

/** A part of an address as people read it; what was cut in the middle of a letter stays as it is. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function show() {
  if (["", "#", "#/"].includes(location.hash)) {
    history.replaceState(null, "", HOME);
  }
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const found = find(location.hash);
  mark(location.hash);
  document.title = `${found?.title ?? "Not found"} · Xtalforge`;
  const place = h("div");
  replace(main, place);
  if (!found) {
    append(place, [h("h1", { tabindex: "-1" }, "There is no such page"), h("p", {}, h("a", { href: HOME }, "Go to the start."))]);
  } else {
    try {
      const page = await import(found.module);
      if (signal.aborted) return;
      await page.render(place, { ...found.parameters, query: found.query, signal });
    } catch (error) {
      if (!signal.aborted) append(place, [errorBox(error, show)]);
    }
  }
  if (!signal.aborted && !isFirst) (place.querySelector("h1") ?? main).focus({ preventScroll: true });
  if (!isFirst) scrollTo(0, 0);
  isFirst = false;
}

function mark(hash) {
  for (const link of document.querySelectorAll("#navigation a")) {
    const is = hash === link.hash || hash.startsWith(`${link.hash}/`) || hash.startsWith(`${link.hash}?`)
      || (hash.startsWith("#/bulk") && link.hash === "#/predict") || (hash.startsWith("#/webhooks") && link.hash === "#/jobs");
    if (is) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function showService() {
  const place = document.getElementById("service");
  let text;
  try {
    const [{ info }, health] = await Promise.all([description(), request("health/ready")]);
    text = `Xtalforge ${info.version}: the service is ${health.status}.`;
  } catch (error) {
    text = `The service is not ready: ${error.message}`;
  }
  if (place.textContent !== text) place.textContent = text;
}

function setUpTheme() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { button.textContent = isDark() ? "Light mode" : "Dark mode"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem("xtalforge-theme", root.dataset.theme);
    name();
    dispatchEvent(new Event("themechange"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    name();
    dispatchEvent(new Event("themechange"));
  });
  name();
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);
setUpTheme();
show();
showService();
setInterval(() => document.hidden || showService(), SERVICE_EVERY_MS);
