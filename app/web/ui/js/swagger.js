// Swagger UI. The document cannot hold ids that exist everywhere: an example's id gives way to the newest of its kind when
// "Execute" is pressed, and a data set that is not there yet is made from the rows of the tutorial.

const ROOT = new URL("../../", import.meta.url);
const PLACEHOLDER = /\b(ds|job|wh|msg)_[0-9a-f]{32}\b/;
const EXAMPLES = new Set();
const ROWS = "tutorials/files/bulk_moduli.csv";
const LISTS = { ds: "v1/datasets?limit=1", wh: "v1/webhooks", msg: "v1/webhooks/deliveries?limit=1" };

/** Every id that the document names as an example. */
function collectExamples(text) {
  for (const [id] of text.matchAll(new RegExp(PLACEHOLDER, "g"))) EXAMPLES.add(id);
}

function isExample(text) {
  const found = PLACEHOLDER.exec(text);
  return found && EXAMPLES.has(found[0]) ? found : null;
}

async function newest(list, headers) {
  const answer = await fetch(new URL(list, ROOT), { headers });
  return answer.ok ? (await answer.json()).items[0]?.id : undefined;
}

/** The rows of the tutorial as a data set; the same rows are stored once, however often they are sent. */
async function uploadRows(headers) {
  const rows = await (await fetch(new URL(ROWS, ROOT))).blob();
  const form = new FormData();
  form.append("file", rows, "bulk_moduli.csv");
  form.append("property", "k_vrh");
  const answer = await fetch(new URL("v1/datasets", ROOT), { method: "POST", headers, body: form });
  return answer.ok ? (await answer.json()).id : undefined;
}

/** Only what reads is led to the newest: nobody wants to delete or stop it by pressing an example. */
async function fillAddress(request, headers) {
  const [id, kind] = isExample(request.url) ?? [];
  if (!id || (request.method ?? "GET").toUpperCase() !== "GET") return;
  const before = new URL(request.url).pathname.split(`/${id}`)[0].slice(ROOT.pathname.length);
  const found = await newest(LISTS[kind] ?? `${before}?limit=1`, headers);
  if (found) request.url = request.url.replace(id, found);
}

async function fillBody(request, headers) {
  const [id] = typeof request.body === "string" ? (isExample(request.body) ?? []) : [];
  if (!id?.startsWith("ds_")) return;
  const found = (await newest(LISTS.ds, headers)) ?? (await uploadRows(headers));
  if (found) request.body = request.body.replace(id, found);
}

async function beforeRequest(request) {
  if (request.loadSpec) return request;
  const { Authorization } = request.headers ?? {};
  const headers = Authorization ? { Authorization } : {};
  await fillAddress(request, headers);
  await fillBody(request, headers);
  return request;
}

const text = await (await fetch(new URL("openapi.json", ROOT))).text();
collectExamples(text);
// Without `validatorUrl` the page asks a public validator whenever it is not served from localhost.
SwaggerUIBundle({
  spec: JSON.parse(text), requestInterceptor: beforeRequest, dom_id: "#swagger-ui", layout: "BaseLayout", deepLinking: true,
  showExtensions: true, showCommonExtensions: true, validatorUrl: null, defaultModelsExpandDepth: 0,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
