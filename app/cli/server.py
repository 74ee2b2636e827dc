"""Calls of a running server, for commands with `--server`."""

from pathlib import Path
from typing import Any, Self

import httpx

from app.bulk.schemas import BulkPredictionRead, ModelChoice
from app.core.errors import XtalforgeError
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

    code, status, title = "server_error", 502, "The server refused"

    def __init__(self, detail: str, server_code: str = "server_unreachable") -> None:
        super().__init__(f"{detail} [{server_code}]")


class Server:
    """A client of one server, with the key of the settings; use it as a context manager."""

    def __init__(self, url: str) -> None:
        key = Settings().api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT_S, headers=headers)

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

    def download(self, path: str, parameters: dict[str, str], target: Path) -> None:
        """Write the body of an answer to a file, however large it is."""
        try:
            with self._client.stream("GET", path, params=parameters) as answer, target.open("wb") as file:
                if answer.is_error:
                    raise ServerError(f"{path} answered {answer.status_code}.", str(answer.status_code))
                for piece in answer.iter_bytes():
                    file.write(piece)
        except httpx.TransportError as error:
            raise ServerError(f"The download from {self._client.base_url} broke off: {error}.") from None

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, **arguments)
            body: dict[str, Any] = answer.json()
        except httpx.TransportError as error:
            raise ServerError(f"{self._client.base_url} does not answer: {error}.") from None
        except ValueError:
            raise ServerError(
                f"{self._client.base_url} is no Xtalforge server: {method} {path} gave no JSON."
            ) from None
        if answer.is_error:
            detail, code = str(body.get("detail", answer.reason_phrase)), str(body.get("code", answer.status_code))
            raise ServerError(detail, code)
        return body
