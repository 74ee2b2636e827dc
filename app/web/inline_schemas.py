"""Schemas that stand in a route rather than among the components of the OpenAPI document."""

import json
from typing import Any

_JSON = "application/json"


def hoist_inline_schemas(document: dict[str, Any]) -> None:
    """Move the schemas of JSON bodies that routes spell out to where all others are, with those they define."""
    components = document.setdefault("components", {}).setdefault("schemas", {})
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        body = operation.get("requestBody", {}).get("content", {}).get(_JSON, {})
        if "title" not in body.get("schema", {}):
            continue
        schema = json.loads(json.dumps(body["schema"]).replace('"#/$defs/', '"#/components/schemas/'))
        for name, definition in {**schema.pop("$defs", {}), schema["title"]: schema}.items():
            components.setdefault(name, definition)
        body["schema"] = {"$ref": f"#/components/schemas/{schema['title']}"}
