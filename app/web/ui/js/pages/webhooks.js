// Webhooks: who is told when jobs end, and what came of each message.

import { all, request } from "../api.js";
import { h, replace } from "../dom.js";
import { count, plural, time, words } from "../format.js";
import { busy, check, confirm, empty, facts, field, heading, link, load, notice, table, trail } from "../parts.js";

const PATH = "v1/webhooks";
const MOST_MESSAGES = 200;
const REFRESH_MS = 2000;
const EVENTS = [["job.succeeded", "a job has succeeded"], ["job.failed", "a job has failed"], ["job.cancelled", "a job was cancelled"], ["job.expired", "a job was given up after too many attempts"]];
const JOB_PAGES = [["/v1/fine-tuning/jobs/", "#/train/"], ["/v1/bulk-predictions/", "#/bulk/"], ["/v1/screenings/", "#/screen/"]];
const STATES = { delivered: "good", failed: "bad", pending: "info" };

export function render(place, { signal }) {
  const [list, messages, told] = [h("section"), h("section"), h("div")];
  let isWaiting = false;
  const readMessages = async () => {
    const found = await all(`${PATH}/deliveries`, { signal, most: MOST_MESSAGES });
    isWaiting = found.some((each) => each.status === "pending");
    return messageTable(found, showMessages);
  };
  const showMessages = () => load(messages, "the messages", readMessages, signal);
  const showList = () => load(list, "the webhooks", async () => {
    const { items: hooks } = await request(PATH, { signal });
    return hooks.length ? h("div", { class: "columns" }, hooks.map((hook) => hookCard(hook, showList, showMessages)))
      : empty("No webhook yet", h("p", {}, "Give an address above: it is told when jobs end, so that nobody has to ask."));
  }, signal);
  replace(place, trail([["Jobs", "#/jobs"], ["Webhooks"]]), heading("Webhooks",
    h("p", { class: "lead" }, "Addresses to which the service posts a signed message when a job ends.")),
  newHook(told, showList), told, list, h("h2", {}, "Messages"), messages);
  showList();
  showMessages();
  const timer = setInterval(async () => {
    // Someone reads or is about to press something: it must not move away.
    if (document.hidden || !isWaiting || messages.contains(document.activeElement) || messages.querySelector("details[open]")) return;
    const made = await readMessages().catch(() => null);
    if (made && !signal.aborted) replace(messages, made);
  }, REFRESH_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function newHook(told, onMade) {
  const url = h("input", { type: "url", required: true, placeholder: "https://lab.example.org/hooks/xtalforge", maxlength: 2000 });
  const about = h("input", { maxlength: 500 });
  const events = EVENTS.map(([value, text]) => check(text, { value, checked: true }));
  const problem = h("div");
  const button = h("button", { type: "submit", class: "primary" }, "Add");
  const form = h("form", { class: "card", "aria-label": "New webhook", onSubmit: (event) => {
    event.preventDefault();
    const chosen = events.map((each) => each.querySelector("input")).filter((input) => input.checked).map((input) => input.value);
    if (!chosen.length) {
      replace(problem, notice("warn", h("p", { role: "alert" }, "Choose at least one thing to be told of.")));
      return;
    }
    busy(button, problem, async () => {
      const made = await request(PATH, { method: "POST", json: { url: url.value.trim(), description: about.value.trim(), events: chosen } });
      replace(told, secretNotice(made));
      form.reset();
      onMade();
    });
  } },
    h("h2", {}, "New webhook"),
    h("div", { class: "columns" },
      h("div", {}, field("Address", url, "Public ones only, unless the service is set to allow others."), field("Description", about)),
      h("fieldset", {}, h("legend", {}, "Tell it when"), events)),
    h("div", { class: "row" }, button), problem);
  return form;
}

function secretNotice({ url, secret }) {
  return notice("good", h("h2", {}, "Keep this secret now: it is not shown again"),
    h("p", {}, "Messages to ", h("code", {}, url), " are signed with it, as Standard Webhooks says; check the header ", h("code", {}, "webhook-signature"), "."),
    h("p", {}, h("code", {}, secret)));
}

function hookCard(hook, onGone, onSent) {
  const told = h("div", { role: "status" });
  const test = h("button", { type: "button", disabled: hook.disabled_at !== null, onClick: () => busy(test, told, async () => {
    await request(`${PATH}/${hook.id}/test`, { method: "POST" });
    replace(told, notice("good", h("p", {}, "A test is on its way; see the messages below.")));
    onSent();
  }) }, "Send a test");
  const remove = h("button", { type: "button", class: "danger", onClick: async () => {
    if (!(await confirm("Delete this webhook?", `Nothing is sent to ${hook.url} any more, and the list of its messages goes too.`, "Delete"))) return;
    busy(remove, told, async () => {
      await request(`${PATH}/${hook.id}`, { method: "DELETE" });
      onGone();
      onSent();
    });
  } }, "Delete");
  return h("section", { class: "card", "aria-label": `Webhook ${hook.url}` }, h("h2", {}, h("code", {}, hook.url)),
    hook.disabled_at && notice("bad", h("p", {}, "Nothing is sent since ", time(hook.disabled_at), `: ${hook.disabled_reason}`)),
    facts([
      hook.description && ["Description", hook.description],
      ["Told when", hook.events.map((event) => EVENTS.find(([key]) => key === event)?.[1] ?? event).join(", ")],
      ["Made", time(hook.created_at)], ["Id", h("code", {}, hook.id)],
    ]), h("div", { class: "row" }, test, remove), told);
}

function messageTable(messages, onAgain) {
  if (!messages.length) return empty("No message yet", h("p", {}, "They are listed here as soon as a job ends, with every attempt to deliver them."));
  return table({ caption: "Messages, newest first", rows: messages, columns: [
    { label: "Made", head: true, cell: (row) => time(row.created_at), sort: (row) => row.created_at },
    { label: "Of", cell: (row) => [words(row.event.replace(".", " ")), row.job_id && h("div", { class: "small" }, jobLink(row))], sort: (row) => row.event },
    { label: "State", cell: (row) => h("span", { class: `badge ${STATES[row.status]}` }, row.status), sort: (row) => row.status },
    { label: "Attempts", cell: attempts },
    { label: "Next", cell: (row) => time(row.next_attempt_at), sort: (row) => row.next_attempt_at },
    { label: "Send again", cell: (row) => row.status !== "delivered" && again(row, onAgain) },
  ] });
}

/** The page of the job that a message tells of. */
function jobLink({ job_id: id, body }) {
  const { path = "" } = JSON.parse(body).data ?? {};
  const page = JOB_PAGES.find(([calls]) => path.startsWith(calls))?.[1];
  return page ? link(`${page}${id}`, "the job") : id;
}

function attempts({ attempts: n, log }) {
  if (!log.length) return count(n);
  return h("details", {}, h("summary", {}, plural(n, "attempt")), h("ol", {}, log.map((each) => (
    h("li", { class: "small" }, time(each.at), `: ${each.status_code === null ? "no answer" : `answered ${each.status_code}`}${each.error ? `, ${each.error}` : ""}`)))));
}

function again(message, onAgain) {
  const told = h("div");
  const button = h("button", { type: "button", onClick: () => busy(button, told, async () => {
    await request(`${PATH}/deliveries/${message.id}/retry`, { method: "POST" });
    onAgain();
  }) }, "Now");
  return [button, told];
}
