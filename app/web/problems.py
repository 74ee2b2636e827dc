"""Errors as RFC 9457 problem documents: the one place that turns the error tree into HTTP."""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from obstore.exceptions import BaseError as StoreError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import Scope, Send

from app.core.db import database_away, is_database_away
from app.core.disk import is_disk_full
from app.core.errors import InvalidRequest, StorageFull, TooManyInputs, Unauthorized, XtalforgeError
from app.core.logging import get_logger
from app.core.metrics import PROBLEMS
from app.web.field_errors import field_error
from app.web.request_id import request_id_of

PROBLEM_JSON = "application/problem+json"
PROBLEM_SCHEMA_REF = "#/components/schemas/Problem"
RETRY_AFTER_CONTEXT = "retry_after_s"
USUAL_WAIT_S = 5
MAX_FIELD_ERRORS = 50

_FRAMEWORK_CODES = {
    HTTPStatus.NOT_FOUND: "route_not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
}

log = get_logger(__name__)


class FieldError(BaseModel):
    """One field of the request that is wrong."""

    field: str = Field(description="Path of the field.", examples=["inputs[0].cif"])
    detail: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """RFC 9457 problem details; `code` is stable, `detail` is for people. Some codes carry further members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(
        examples=["urn:xtalforge:problem:model_not_found"], description="Names the kind of error for good."
    )
    title: str = Field(examples=["No such model"], description="The kind of error in words.")
    status: int = Field(examples=[404], description="The HTTP status.")
    detail: str = Field(examples=["There is no model 'nope'."], description="What is wrong here, in words.")
    code: str = Field(examples=["model_not_found"], description="Stable; for programs.")
    instance: str = Field(description="Path of the request.", examples=["/v1/predictions"])
    request_id: str = Field(
        description="The X-Request-ID of this answer; quote it when you report a fault.", examples=["5f0c1f4e2b7d4b0e"]
    )


def problem_responses(*errors: type[XtalforgeError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may fail in these ways, for OpenAPI; InvalidRequest is always among them."""
    by_status: dict[int, list[type[XtalforgeError]]] = {}
    every: tuple[type[XtalforgeError], ...] = (*errors, InvalidRequest)
    for error in every:
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": "; ".join(dict.fromkeys(f"{error.title} (`{error.code}`)" for error in group)),
            "content": {
                PROBLEM_JSON: {
                    "schema": {"$ref": PROBLEM_SCHEMA_REF},
                    "examples": {error.code: {"$ref": problem_example_ref(error.code)} for error in group},
                }
            },
        }
        for status, group in by_status.items()
    }


def problem_example_ref(code: str) -> str:
    """Where the OpenAPI document has the example of this error."""
    return f"#/components/examples/{code}"


def problem_examples() -> dict[str, Any]:
    """An example of every error there is, by its code, for the components of the OpenAPI document."""
    waiting: list[type[XtalforgeError]] = [XtalforgeError]
    found: dict[str, Any] = {}
    while waiting:
        error = waiting.pop()
        waiting += error.__subclasses__()
        example = Problem(
            type=f"urn:xtalforge:problem:{error.code}", title=error.title, status=error.status,
            detail=f"{error.title}: here stands which, and what to do.", code=error.code, instance="/v1/...",
            request_id="5f0c1f4e2b7d4b0e",
        )  # fmt: skip
        found.setdefault(error.code, {"summary": error.title, "value": example.model_dump()})
    return found


def problem_body(
    code: str, status: int, title: str, detail: str, *, instance: str, request_id: str, extra: Mapping[str, Any]
) -> bytes:
    """The document as JSON, counted by its code; extra members never replace the standard ones."""
    PROBLEMS.labels(code, status).inc()
    document = {
        **extra,
        "type": f"urn:xtalforge:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": instance,
        "request_id": request_id,
    }
    return json.dumps(document, default=str).encode()


async def send_problem(
    scope: Scope, send: Send, error: XtalforgeError, more_headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with it from a middleware, where no handler of the framework is."""
    body = problem_body(
        error.code, error.status, error.title, error.detail, instance=scope["path"], request_id=request_id_of(scope),
        extra=error.context,
    )  # fmt: skip
    headers = [(b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode()), *more_headers]
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b'Bearer realm="xtalforge"'))
    if (retry_after_s := error.context.get(RETRY_AFTER_CONTEXT)) is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    status = HTTPStatus(error.status).value
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the routes as problem+json. Unexpected ones are `RequestIdMiddleware`'s."""

    @app.exception_handler(XtalforgeError)
    async def _known(request: Request, error: XtalforgeError) -> Response:
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request failed", code=error.code, detail=error.detail)
        usual = USUAL_WAIT_S if error.status == HTTPStatus.SERVICE_UNAVAILABLE else None
        retry_after_s = error.context.get(RETRY_AFTER_CONTEXT, usual)
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else {}
        return _response(request, error.code, error.status, error.title, error.detail, error.context, headers)

    async def _from_outside(request: Request, error: Exception) -> Response:
        known = _known_trouble(error)
        if known is None:
            raise error
        log.warning("trouble with what the service needs", reason=str(error))
        return await _known(request, known)

    for failure in (OSError, StoreError, DBAPIError, NoConnection):
        app.add_exception_handler(failure, _from_outside)

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, error: RequestValidationError) -> Response:
        n_fields = len(error.errors())
        fields = [field_error(entry) for entry in error.errors()[:MAX_FIELD_ERRORS]]
        first = f"{fields[0]['field']}: {fields[0]['detail']}" if fields else InvalidRequest.title
        more = f" (and {n_fields - 1} more)" if n_fields > 1 else ""
        extra = {"errors": fields}
        return _response(request, InvalidRequest.code, InvalidRequest.status, InvalidRequest.title, first + more, extra)

    @app.exception_handler(StarletteHTTPException)
    async def _framework(request: Request, error: StarletteHTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        if status == HTTPStatus.BAD_REQUEST:
            return await _known(request, _unreadable_body(error))
        code = _FRAMEWORK_CODES.get(status, status.phrase.lower().replace(" ", "_"))
        detail = error.detail if error.detail != status.phrase else _framework_detail(request, status)
        headers = dict(error.headers or {})
        if status == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods_there(request)):
            headers["Allow"] = ", ".join(methods)
        return _response(request, code, status, status.phrase, detail, {}, headers)


def _unreadable_body(error: StarletteHTTPException) -> XtalforgeError:
    """What the framework could not take apart, under the code of every other malformed request."""
    if str(error.detail).startswith("Too many files"):
        return TooManyInputs(f"{error.detail} Send them in a zip, or in several requests.")
    match error.__cause__:
        case OSError() as cause if is_disk_full(cause):
            return _storage_full()
        case UnicodeDecodeError():
            return InvalidRequest("The body is not text in UTF-8: save it in that encoding.")
        case RecursionError():
            return InvalidRequest("The JSON of the body is nested too deeply.")
        case ValueError():
            # Of valid JSON Python refuses only whole numbers of thousands of digits.
            return InvalidRequest("The JSON of the body holds a number with too many digits.")
    return InvalidRequest(f"The body cannot be read: {str(error.detail).rstrip('.')}.")


def _known_trouble(error: Exception) -> XtalforgeError | None:
    """What a disk or a database of the service has said, where it may be said to clients."""
    if is_disk_full(error):
        return _storage_full()
    if is_database_away(error):
        return database_away()
    return None


def _storage_full() -> XtalforgeError:
    return StorageFull(
        "A disk of the service is full, so nothing of this request was kept. Its administrator has to make room; then "
        "send it again."
    )


def _methods_there(request: Request) -> list[str]:
    """All methods of the path that the API's description has: the framework names those of one route of several."""
    path = getattr(request.scope.get("route"), "path_format", None)
    return sorted(method.upper() for method in request.app.openapi()["paths"].get(path, ()))


def _framework_detail(request: Request, status: HTTPStatus) -> str:
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.url.path} does not take {request.method}. The calls there are: see /docs."
    if status == HTTPStatus.NOT_FOUND:
        advice = " Leave out the slash at its end." if request.url.path.endswith("/") else ""
        return f"There is nothing at {request.url.path}.{advice} The calls there are: see /docs."
    return status.description or status.phrase


def _response(
    request: Request,
    code: str,
    status: int,
    title: str,
    detail: str,
    extra: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = problem_body(
        code, status, title, detail, instance=request.url.path, request_id=request_id_of(request.scope), extra=extra
    )
    return Response(body, status_code=status, headers=dict(headers or {}), media_type=PROBLEM_JSON)
