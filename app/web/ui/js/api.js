// The one way to the service: problem documents become errors that say what to do, and nothing waits for ever.

const KEY = "xtalforge-api-key";
const TIMEOUT_MS = 60_000;
const UPLOAD_TIMEOUT_MS = 600_000;
const RECONNECT_MS = [500, 1000, 2000, 5000, 10_000];

export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** What the service said was wrong, or why it could not be asked. `problem` is the whole document. */
export class ApiError extends Error {
  constructor(problem, retryAfter = null) {
    super(problem.detail ?? problem.title ?? "Something went wrong.");
    this.problem = problem;
    this.status = problem.status ?? 0;
    this.code = problem.code ?? "unknown";
    this.retryAfter = retryAfter;
  }
}

const unreachable = (cause) => new ApiError({
  status: 0, code: "unreachable", title: "The service cannot be reached",
  detail: `No answer came from ${location.host} (${cause}). Is it running, and is the network up?`,
});

const tooSlow = (ms) => new ApiError({
  status: 0, code: "timeout", title: "No answer in time",
  detail: `The service did not answer within ${Math.round(ms / 1000)} s. It may be busy: try again, or send less.`,
});

export function url(path, query = {}) {
  // Relative to the page, so that a proxy may serve all of it below a folder.
  const address = new URL(path, document.baseURI.split("#")[0]);
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) {
      if (each !== null && each !== undefined && each !== "") address.searchParams.append(name, each);
    }
  }
  return address;
}

/**
 * The answer to one request. What changes nothing (`isSafe`) is asked once more when the network failed under it, as it
 * does when a laptop changes its network.
 */
export async function send(path, options = {}) {
  const { method = "GET", isSafe = method === "GET", signal } = options;
  try {
    return await sendOnce(path, options);
  } catch (error) {
    if (!isSafe || error.code !== "unreachable" || signal?.aborted) throw error;
    await pause(RECONNECT_MS[0], signal);
    return sendOnce(path, options);
  }
}

async function sendOnce(path, { method = "GET", query, json, form, headers = {}, signal, timeoutMs }) {
  const limit = timeoutMs ?? (form ? UPLOAD_TIMEOUT_MS : TIMEOUT_MS);
  const clock = AbortSignal.timeout(limit);
  const all = { Accept: "application/json", ...headers };
  if (apiKey.get()) all.Authorization = `Bearer ${apiKey.get()}`;
  if (json !== undefined) all["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url(path, query), {
      method, headers: all, body: json !== undefined ? JSON.stringify(json) : form,
      signal: signal ? AbortSignal.any([signal, clock]) : clock, cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw clock.aborted ? tooSlow(limit) : unreachable(error.message);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    const problem = await response.json();
    return new ApiError({ status: response.status, ...problem }, retryAfter);
  } catch {
    const title = `The service answered ${response.status}`;
    return new ApiError({ status: response.status, code: "no_problem_document", title, detail: response.statusText || title }, retryAfter);
  }
}

export async function request(path, options) {
  const response = await send(path, options);
  return response.status === 204 ? null : response.json();
}

let described = null;
/** The API's own description; asked for once. */
export function description() {
  described ??= request("openapi.json").catch((error) => {
    described = null;
    throw error;
  });
  return described;
}

/** What no other request has. `crypto.randomUUID` is there on https and this machine alone. */
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Every item of a list, up to `most`. */
export async function all(path, { query = {}, signal, most = 1000 } = {}) {
  const items = [];
  let cursor = null;
  do {
    const page = await request(path, { query: { ...query, limit: Math.min(most, 200), cursor }, signal });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < most);
  return items;
}

/** The same, or nothing where this key may not list them or this service has none. */
export async function allAllowed(path, options) {
  try {
    return await all(path, options);
  } catch (error) {
    if (error instanceof ApiError && (error.status === 403 || error.status === 404)) return [];
    throw error;
  }
}

/** The first lines of an answer in JSON Lines, at most `most`; what follows is not waited for. */
export async function firstLines(path, { query, most, signal }) {
  const stopped = new AbortController();
  const response = await send(path, { query, signal: AbortSignal.any([signal, stopped.signal]), headers: { Accept: "*/*" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const lines = [];
  let rest = "";
  let isWhole = false;
  while (lines.length < most) {
    const { value, done } = await reader.read();
    isWhole = done;
    const parts = (rest + (value ?? "")).split("\n");
    rest = done ? "" : parts.pop();
    lines.push(...parts.filter(Boolean).map((line) => JSON.parse(line)));
    if (done) break;
  }
  if (!isWhole) stopped.abort();
  return { lines: lines.slice(0, most), isWhole: isWhole && lines.length <= most };
}

/** Save an answer as a file. Without a key the browser fetches it itself, whatever its size. */
export async function download(path, { query, fileName, headers } = {}) {
  let address = url(path, query);
  if (apiKey.get() || headers) {
    const response = await send(path, { query, headers: { Accept: "*/*", ...headers }, timeoutMs: UPLOAD_TIMEOUT_MS });
    fileName ??= /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
    address = URL.createObjectURL(await response.blob());
  }
  save(address, fileName);
}

export function saveText(text, fileName, type = "text/csv") {
  save(URL.createObjectURL(new Blob([text], { type })), fileName);
}

function save(address, fileName) {
  const link = document.createElement("a");
  link.href = address;
  link.download = fileName ?? "";
  document.body.append(link);
  link.click();
  link.remove();
  if (String(address).startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/**
 * Follow a job's events live, and go on after a break where it stopped. `EventSource` cannot send a key, so the stream is
 * read by fetch. `isOver()` says, when a stream ends, whether the job has; `onState("live" | "waiting")` tells of breaks.
 */
export async function follow(path, { onEvent, isOver, onState = () => {}, signal }) {
  let last = 0;
  let failures = 0;
  while (!signal.aborted) {
    try {
      await readStream(path, last, signal, () => {
        failures = 0;
        onState("live");
      }, (event) => {
        last = event.seq;
        onEvent(event);
      });
      if (await isOver()) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    onState("waiting");
    await pause(RECONNECT_MS[Math.min(failures, RECONNECT_MS.length - 1)], signal);
    failures += 1;
  }
}

async function readStream(path, last, signal, onOpen, onEvent) {
  const headers = { Accept: "text/event-stream" };
  if (last) headers["Last-Event-ID"] = String(last);
  // The time limit is for the whole answer, and this one lasts as long as the job.
  const response = await send(path, { headers, signal, timeoutMs: 2 ** 31 - 1 });
  onOpen();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length) onEvent(JSON.parse(data.join("\n")));
    }
  }
}

export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
