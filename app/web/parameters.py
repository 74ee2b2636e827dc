"""Parameters that no route asks for are refused: a misspelt one would silently change what the answer means."""

from difflib import get_close_matches
from typing import Any

from fastapi import Request

from app.core.errors import InvalidRequest

MAX_FIELDS = 200
"""Far more than any object of a request has."""

_MULTIPART = "multipart/form-data"
_JSON = "application/json"
_DEPTH = 4
_FREE = "structure"
"""Whose content is read as a crystal, not as fields."""


async def refuse_unknown_parameters(request: Request) -> None:
    """A dependency of every route.

    Raises InvalidRequest for unknown or needlessly repeated query parameters and form fields, and for control
    characters in the path or query, which no name here has and some databases cannot take.
    """
    is_form = request.headers.get("content-type", "").startswith(_MULTIPART)
    if not (request.scope["query_string"] or request.path_params or is_form):
        return
    operation = _operation(request)
    if operation is None:
        return
    query = {p["name"]: p["schema"] for p in operation.get("parameters", []) if p["in"] == "query"}
    _refuse("query parameter", request.query_params.multi_items(), query)
    for value in (*request.path_params.values(), *request.query_params.values()):
        if any(ord(character) < 32 for character in str(value)):
            raise InvalidRequest(f"{str(value)[:60]!r} in the address holds a control character.")
    if is_form and "requestBody" in operation:
        fields = _form_fields(request, operation)
        if fields is not None:
            _refuse("form field", (await request.form()).multi_items(), fields)


async def refuse_endless_bodies(request: Request) -> None:
    """A dependency of every route, which goes before the check of the body. Raises InvalidRequest.

    Each field that is wrong is an error of its own there, and to make hundreds of thousands of them takes seconds, in
    which nobody else is answered.
    """
    is_read = getattr(request.scope.get("route"), "body_field", None) is not None
    is_json = request.headers.get("content-type", "").startswith(_JSON)
    if is_read and is_json and await request.body():
        _refuse_endless(await request.json(), _DEPTH)


def _refuse_endless(value: Any, depth: int) -> None:
    if isinstance(value, dict):
        if len(value) > MAX_FIELDS:
            raise InvalidRequest(f"An object of the body has {len(value):,} fields; /docs lists those that there are.")
        members = [member for name, member in value.items() if name != _FREE]
    else:
        members = value if isinstance(value, list) else []
    for member in members if depth else []:
        if isinstance(member, dict | list):
            _refuse_endless(member, depth - 1)


def _operation(request: Request) -> dict[str, Any] | None:
    """What the API's own description says of the route; None for what it leaves out."""
    path = getattr(request.scope.get("route"), "path_format", None)
    method = "get" if request.method == "HEAD" else request.method.lower()
    operation: dict[str, Any] | None = request.app.openapi()["paths"].get(path, {}).get(method)
    return operation


def _form_fields(request: Request, operation: dict[str, Any]) -> dict[str, Any] | None:
    schema = operation["requestBody"]["content"].get(_MULTIPART, {}).get("schema")
    if schema is None:
        return None
    name = schema["$ref"].rsplit("/", 1)[1]
    properties: dict[str, Any] = request.app.openapi()["components"]["schemas"][name]["properties"]
    return properties


def _refuse(kind: str, given: list[tuple[str, Any]], known: dict[str, Any]) -> None:
    names = [name for name, _ in given]
    for name in dict.fromkeys(names):
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            offer = f"There are: {', '.join(known)}." if known else "There is none here."
            raise InvalidRequest(f"There is no {kind} {name[:60]!r}.{hint} {offer}", field=name[:60])
        if names.count(name) > 1 and not _takes_several(known[name]):
            raise InvalidRequest(f"The {kind} {name!r} may be given once only.", field=name)


def _takes_several(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "array" or any(_takes_several(option) for option in schema.get("anyOf", []))
