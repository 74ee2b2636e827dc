// A job that is watched: its state, its events as they come, and the button that cancels it.

import { follow, newKey, pause, request } from "./api.js";
import { announce, h, replace } from "./dom.js";
import { clock, duration, words } from "./format.js";
import { busy, confirm, errorBox, FINAL, statusBadge } from "./parts.js";

const REFRESH_MS = 2000;
const LOG_LINES = 200;
const PAUSABLE = new Set(["queued", "running"]);
const RESUMABLE = new Set(["paused", "pausing"]);
const RETRYABLE = new Set(["failed", "cancelled", "expired"]);

/**
 * Watch the job at `path`. `onJob(job)` gets it whenever it was read anew, `onEvent(event)` each event, `onRetried(job)` the
 * job that was made of it to try again. Elements to place: `status`, `log`, `controls`, `problem`.
 */
export function watch(path, { job, onJob, onRetried, onEvent = () => {}, signal }) {
  const status = h("p", { role: "status" });
  // Apart: what an attempt to pause met must not go when the job is read anew.
  const [failure, refusal] = [h("div"), h("div")];
  const problem = h("div", {}, failure, refusal);
  const lines = h("ol", { class: "log", tabindex: "0", "aria-label": "What happened" });
  const log = h("details", {}, h("summary", {}, "What happened"), lines);
  const cancel = h("button", { type: "button", class: "danger", onClick: async () => {
    if (!(await confirm("Cancel this job?", "It stops within seconds. What a training has learned is lost; results of predictions are kept. To go on later, pause it instead.", "Cancel the job"))) return;
    busy(cancel, refusal, async () => update(await request(`${path}/cancel`, { method: "POST" })));
  } }, "Cancel");
  const act = (name, makes) => {
    const button = h("button", { type: "button", onClick: () => busy(button, refusal, makes) }, name);
    return button;
  };
  const move = (verb) => async () => update(await request(`${path}/${verb}`, { method: "POST" }));
  const [pauseIt, resume] = [act("Pause", move("pause")), act("Go on", move("resume"))];
  const retry = act("Try again", async () => onRetried(await request(`${path}/retry`, { method: "POST", headers: { "Idempotency-Key": newKey() } })));
  const controls = h("div", { class: "row" }, pauseIt, resume, retry, cancel);
  let current = job;
  let connection = "";

  function show() {
    replace(status, statusBadge(current.status), " ", current.status_reason ?? "", connection && h("span", { class: "muted" }, ` ${connection}`));
    cancel.hidden = FINAL.has(current.status) || current.status === "cancelling";
    pauseIt.hidden = !PAUSABLE.has(current.status);
    resume.hidden = !RESUMABLE.has(current.status);
    retry.hidden = !RETRYABLE.has(current.status);
    replace(failure, current.error && h("div", { class: "notice bad" }, h("h3", {}, "The job failed"), h("p", {}, current.error.detail),
      h("p", { class: "small muted" }, "Code ", h("code", {}, current.error.code))));
  }

  function update(next) {
    if (next.status !== current.status) announce(`The job is ${words(next.status)}.`);
    current = next;
    show();
    onJob(current);
  }

  function tell(event) {
    if (event.kind !== "epoch" && event.kind !== "progress" && event.kind !== "search") {
      lines.append(h("li", { class: event.level }, h("time", { datetime: event.created_at }, clock(event.created_at)), event.message));
      if (lines.children.length > LOG_LINES) lines.firstChild.remove();
    }
    onEvent(event);
  }

  async function refresh() {
    while (!signal.aborted && !FINAL.has(current.status)) {
      await pause(REFRESH_MS, signal);
      if (signal.aborted) return;
      try {
        update(await request(path, { signal }));
      } catch {
        // The stream of events says when the connection is gone.
      }
    }
  }

  async function listen() {
    try {
      await follow(`${path}/events`, {
        signal, onEvent: tell,
        onState(state) {
          connection = state === "live" ? "" : "The connection is lost; trying again.";
          show();
        },
        async isOver() {
          update(await request(path, { signal }));
          return FINAL.has(current.status);
        },
      });
      connection = "";
      show();
    } catch (error) {
      if (!signal.aborted) replace(refusal, errorBox(error));
    }
  }

  show();
  onJob(current);
  listen();
  refresh();
  return { status, problem, log, controls };
}

/** `done` of `total`, the rest in words. */
export function progressBar(label) {
  const bar = h("progress", { "aria-label": label, max: 1 });
  const text = h("p", { class: "small muted" });
  return {
    element: h("div", {}, bar, text),
    show(done, total, words, seconds = null) {
      if (total) {
        bar.max = total;
        bar.value = Math.min(done, total);
      } else bar.removeAttribute("value");
      text.textContent = words + (seconds ? `, about ${duration(seconds)} left` : "");
    },
  };
}
