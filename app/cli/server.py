"""Calls of a running server, for commands with `--server`."""

import os
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import httpx

from app.bulk.schemas import BulkPredictionRead, ModelChoice
from app.core.errors import InvalidRequest, XtalforgeError
from app.core.settings import Settings
from app.fine_tuning.report_schemas import FineTuningReport
from app.fine_tuning.schemas import FineTuningJobCreate, FineTuningJobRead
from app.screening.schemas import ScreeningCreate, ScreeningRead
from app.screening.wish import ScreeningWish

TIMEOUT_S = 120.0
BULK = "/v1/bulk-predictions"
SCREENINGS = "/v1/screenings"


class ServerError(XtalforgeError):
    """What the server answered, or why it did not."""

    code, title = "server_error", "The server refused"

    def __init__(
        self,
        detail: str,
        server_code: str = "server_unreachable",
        status: int = 502,
        body: dict[str, Any] | None = None,
    ) -> None:
        """`status` and `body` are those of the answer; 502 where there was none."""
        super().__init__(f"{detail} [{server_code}]")
        self.status = status  # type: ignore[misc]
        self.server_code = server_code
        self.body = body or {}


class CannotWrite(XtalforgeError):
    code, title = "cannot_write", "A file cannot be written"


class JobEnded(XtalforgeError):
    """A job on the server that did not succeed."""

    code, title = "job_ended", "The job did not succeed"

    def __init__(self, detail: str, job_code: str) -> None:
        super().__init__(f"{detail} [{job_code}]")


class Server:
    """A client of one server, with the key of the settings; use it as a context manager."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        """`transport` is how to reach it, where that is not the network."""
        key = Settings().api_key if transport is None else None
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._client = httpx.Client(
                base_url=url.rstrip("/"), timeout=TIMEOUT_S, headers=headers, transport=transport
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise InvalidRequest(f"{url!r} is no URL of a server: {error}.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def upload_dataset(self, path: Path, fields: dict[str, str]) -> dict[str, Any]:
        with path.open("rb") as file:
            return self._call("POST", "/v1/datasets", files={"file": (path.name, file)}, data=fields)

    def create_job(self, request: FineTuningJobCreate) -> FineTuningJobRead:
        body = request.model_dump(mode="json", exclude_none=True)
        return FineTuningJobRead.model_validate(self._call("POST", "/v1/fine-tuning/jobs", json=body))

    def read_job(self, job_id: str) -> FineTuningJobRead:
        return FineTuningJobRead.model_validate(self._call("GET", f"/v1/fine-tuning/jobs/{job_id}"))

    def read_report(self, job_id: str) -> FineTuningReport:
        return FineTuningReport.model_validate(self._call("GET", f"/v1/fine-tuning/jobs/{job_id}/report"))

    def cancel_job(self, job_id: str) -> None:
        self._call("POST", f"/v1/fine-tuning/jobs/{job_id}/cancel")

    def create_bulk(self, path: Path, choice: ModelChoice) -> BulkPredictionRead:
        fields = choice.model_dump(exclude_none=True)
        with path.open("rb") as file:
            answer = self._call("POST", BULK, files={"file": (path.name, file)}, data=fields)
        return BulkPredictionRead.model_validate(answer)

    def read_bulk(self, job_id: str) -> BulkPredictionRead:
        return BulkPredictionRead.model_validate(self._call("GET", f"{BULK}/{job_id}"))

    def cancel_bulk(self, job_id: str) -> None:
        self._call("POST", f"{BULK}/{job_id}/cancel")

    def create_screening(self, request: ScreeningCreate) -> ScreeningRead:
        body = request.model_dump(mode="json", exclude_none=True)
        return ScreeningRead.model_validate(self._call("POST", SCREENINGS, json=body))

    def create_screening_of_file(self, path: Path, wish: ScreeningWish) -> ScreeningRead:
        with path.open("rb") as file:
            answer = self._call(
                "POST", SCREENINGS, files={"file": (path.name, file)}, data={"wish": wish.model_dump_json()}
            )
        return ScreeningRead.model_validate(answer)

    def read_screening(self, job_id: str) -> ScreeningRead:
        return ScreeningRead.model_validate(self._call("GET", f"{SCREENINGS}/{job_id}"))

    def cancel_screening(self, job_id: str) -> None:
        self._call("POST", f"{SCREENINGS}/{job_id}/cancel")

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        return self._call("GET", path, params=_given(parameters))

    def items(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """All items of a list, whatever its pages."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.get(path, **parameters, **({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page.get("next")
            if cursor is None:
                return found

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """POST, PUT or DELETE, with JSON; an answer without content is empty here."""
        return self._call(method, path, json=body, headers=headers)

    def text(self, path: str, accept: str) -> str:
        """An answer that is no JSON."""
        return self._answer("GET", path, headers={"Accept": accept}).text

    def content(self, path: str) -> bytes:
        """A small file, whole."""
        return self._answer("GET", path).content

    def download(self, path: str, parameters: dict[str, str], target: Path) -> None:
        """Write the body of an answer to a file, however large it is; the file is there whole or not at all."""
        partial = target.with_name(f"{target.name}.partial")
        try:
            with self._client.stream("GET", path, params=parameters) as answer, partial.open("wb") as file:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                for piece in answer.iter_bytes():
                    file.write(piece)
            os.replace(partial, target)
        except httpx.TransportError as error:
            raise ServerError(f"The download from {self._client.base_url} broke off: {error}.") from None
        except OSError as error:
            raise CannotWrite(f"{target} cannot be written: {error.strerror}.") from None
        finally:
            partial.unlink(missing_ok=True)

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        answer = self._answer(method, path, **arguments)
        if answer.status_code == HTTPStatus.NO_CONTENT:
            return {}
        body = _json(answer)
        if body is None:
            raise ServerError(f"{self._client.base_url} is no Xtalforge server: {method} {path} gave no JSON.")
        return body

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **arguments)
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            raise ServerError(f"{self._client.base_url} does not answer: {error}.") from None
        if answer.is_error:
            raise _refusal(answer)
        return answer


def _refusal(answer: httpx.Response) -> ServerError:
    body = _json(answer)
    if body is None:
        return ServerError(f"{answer.url.copy_with(query=None)} answered {answer.status_code} and no JSON.")
    detail, code = str(body.get("detail", answer.reason_phrase)), str(body.get("code", answer.status_code))
    return ServerError(detail, code, answer.status_code, body)


def _json(answer: httpx.Response) -> dict[str, Any] | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}
