"""Swagger UI from files of the installation: the page makes no request to anywhere else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from app.core.errors import NotReady, PayloadTooLarge
from app.web.inline_schemas import hoist_inline_schemas
from app.web.problems import Problem, problem_responses

_ASSETS = Path(fastapi_offline.__file__).parent / "static"
_ASSETS_URL = "/docs/assets"
_START_URL = "/docs/start.js"
_API = "/v1/"

# Not FastAPI's page: that one has its script inside, which a strict Content-Security-Policy forbids.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="{assets}/swagger-ui.css">
<link rel="icon" href="{assets}/favicon.png">
<title>{title}</title>
</head>
<body>
<div id="swagger-ui"></div>
<script src="{assets}/swagger-ui-bundle.js"></script>
<script type="module" src="{start}"></script>
</body>
</html>
"""

# Without `validatorUrl` the page asks a public validator whenever it is not served from localhost. Examples that name a
# data set get the newest one there is: no id that the document could hold exists everywhere.
_START = """const EXAMPLE = /"ds_[0-9a-f]{{32}}"/g;

async function newestDataSet() {{
  const answer = await fetch({datasets});
  return answer.ok ? (await answer.json()).items[0] : undefined;
}}

const [text, dataset] = await Promise.all([
  fetch({url}).then((answer) => answer.text()), newestDataSet().catch(() => undefined),
]);
SwaggerUIBundle({{
  spec: JSON.parse(dataset ? text.replace(EXAMPLE, JSON.stringify(dataset.id)) : text),
  dom_id: "#swagger-ui", layout: "BaseLayout", deepLinking: true, showExtensions: true,
  showCommonExtensions: true, validatorUrl: null, defaultModelsExpandDepth: 0,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
}});
"""

Complete = Callable[[dict[str, Any]], None]


def install_docs(app: FastAPI, complete: Complete) -> None:
    """Serve /docs, and complete the OpenAPI document with the schema of problem documents and by `complete`."""
    app.mount(_ASSETS_URL, StaticFiles(directory=_ASSETS), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def swagger_ui(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        return HTMLResponse(_PAGE.format(title=f"{app.title}: API", assets=root + _ASSETS_URL, start=root + _START_URL))

    @app.get(_START_URL, include_in_schema=False)
    async def swagger_start(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        urls = {"url": f"{root}{app.openapi_url}", "datasets": f"{root}/v1/datasets?limit=1"}
        script = _START.format(**{name: json.dumps(url) for name, url in urls.items()})
        return Response(script, media_type="text/javascript")

    app.openapi = lambda: _openapi(app, complete)  # type: ignore[method-assign]


def _openapi(app: FastAPI, complete: Complete) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        hoist_inline_schemas(schema)
        components["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        _add_what_any_call_may_answer(schema)
        complete(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _add_what_any_call_may_answer(document: dict[str, Any]) -> None:
    """A body that is too large is refused before the route sees it; database or compute process may be away."""
    too_large = problem_responses(PayloadTooLarge)[PayloadTooLarge.status]
    away = problem_responses(NotReady)[NotReady.status]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["responses"].setdefault(str(PayloadTooLarge.status), too_large)
            if path.startswith(_API):
                operation["responses"].setdefault(str(NotReady.status), away)
