"""Swagger UI from files of the installation: the page makes no request to anywhere else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from app.core.errors import NotReady, PayloadTooLarge
from app.web.inline_schemas import hoist_inline_schemas
from app.web.page import ASSETS_URL
from app.web.problems import Problem, problem_example_ref, problem_examples, problem_responses

_ASSETS = Path(fastapi_offline.__file__).parent / "static"
_ASSETS_URL = "/docs/assets"
_START_URL = f"{ASSETS_URL}/js/swagger.js"
_API = "/v1/"
_JSON = "application/json"

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

Complete = Callable[[dict[str, Any]], None]


def install_docs(app: FastAPI, complete: Complete) -> None:
    """Serve /docs, and complete the OpenAPI document with the schema of problem documents and by `complete`."""
    app.mount(_ASSETS_URL, StaticFiles(directory=_ASSETS), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def swagger_ui(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        return HTMLResponse(_PAGE.format(title=f"{app.title}: API", assets=root + _ASSETS_URL, start=root + _START_URL))

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
        _put_json_first(schema)
        _fill_in_addresses(schema)
        complete(schema)
        _add_examples_of_problems(schema)
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


def _put_json_first(document: dict[str, Any]) -> None:
    """Swagger UI begins with the first kind of body, and makes no example of another that is chosen later."""
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        content = operation.get("requestBody", {}).get("content", {})
        if _JSON in content:
            operation["requestBody"]["content"] = {_JSON: content.pop(_JSON), **content}


def _fill_in_addresses(document: dict[str, Any]) -> None:
    """Swagger UI fills in a parameter's `example`, and no schema's `examples`."""
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                parameter["example"] = parameter["schema"]["examples"][0]


def _add_examples_of_problems(document: dict[str, Any]) -> None:
    used = json.dumps(document["paths"])
    examples = sorted(problem_examples().items())
    document["components"]["examples"] = {
        code: example for code, example in examples if f'"{problem_example_ref(code)}"' in used
    }
