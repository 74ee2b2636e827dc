"""One call of the API as data: what is sent, and whether it may be sent twice."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from xtalforge_client.errors import ServerError, UnexpectedAnswer, error_of
from xtalforge_client.retry import retry_after_of

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE, KEY_VARIABLE = "XTALFORGE_URL", "XTALFORGE_API_KEY"
EVENT_STREAM = "text/event-stream"
IDEMPOTENCY_KEY = "Idempotency-Key"

Answer = TypeVar("Answer", bound=BaseModel)
Upload = tuple[str, Path | bytes]
"""File name, and the file or its content."""


@dataclass(frozen=True)
class Call:
    """`path` is the template of the API's description; `values` fill it."""

    method: str
    path: str
    values: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[tuple[str, Upload]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True
    """Whether sending it twice is the same as sending it once."""

    @property
    def url(self) -> str:
        return self.path.format(**{name: quote(str(value), safe="") for name, value in self.values.items()})

    def arguments(self, opened: ExitStack | None = None) -> dict[str, Any]:
        """For `httpx.Client.request`; with `opened`, which closes them, files too, opened anew for each attempt."""
        arguments: dict[str, Any] = {"params": _without_none(self.params), "headers": dict(self.headers)}
        if self.json is not None:
            arguments["json"] = self.json
        if opened is not None and self.files:
            arguments["files"] = [
                (name, (file_name, opened.enter_context(data.open("rb")) if isinstance(data, Path) else data))
                for name, (file_name, data) in self.files
            ]
            arguments["data"] = _without_none(self.form)
        return arguments


def settings_of(url: str | None, api_key: str | None, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Address and headers, from the arguments or else the environment."""
    address = (url or os.environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
    key = api_key or os.environ.get(KEY_VARIABLE)
    return address, dict(headers) | ({"Authorization": f"Bearer {key}"} if key else {})


def new_idempotency_key(given: str | None) -> dict[str, str]:
    return {IDEMPOTENCY_KEY: given or uuid4().hex}


def body_of(model: BaseModel) -> dict[str, Any]:
    """JSON of a request; what was not set is left to the server."""
    return model.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def parsed(response: httpx.Response, model: type[Answer]) -> Answer:
    """The answer as a model. Raises UnexpectedAnswer when it is not one."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the body"
        raise UnexpectedAnswer(
            f"{response.request.method} {response.request.url} gave no {model.__name__} ({where}: {fault['msg']}). "
            "The server may be newer than this client, or be no Xtalforge server."
        ) from None


def refused(response: httpx.Response) -> ServerError:
    """The exception for an answer, read to its end, that is an error."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"{response.request.url} answered {response.status_code} {response.reason_phrase}."}
    return error_of(response.status_code, problem, retry_after_of(response))


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in fields.items()
        if value is not None
    }
