# Written by app/client/generate.py: edit _async/resources.py instead.
"""Jobs and stored things, by the part of the API they belong to."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeGuard

from xtalforge_client._sync.jobs import Jobs, all_pages
from xtalforge_client._sync.transport import Transport
from xtalforge_client.calls import Call, Upload, body_of, new_idempotency_key
from xtalforge_client.materials import Material, named_inputs
from xtalforge_client.models import (
    BulkPredictionRead,
    DatasetCreated,
    DatasetRead,
    DatasetSummary,
    FineTuningJobCreate,
    FineTuningJobRead,
    FineTuningReport,
    MethodList,
    MethodRead,
    ScreeningCreate,
    ScreeningRead,
    ScreeningWish,
)

ResultScope = Literal["selected", "all"]
ResultFormat = Literal["csv", "jsonl", "parquet"]


class Datasets:
    """Labelled structures and compositions."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        file: Path | Upload,
        property: str,
        *,
        name: str | None = None,
        unit: str | None = None,
        transform: Literal["identity", "log10"] | None = None,
    ) -> DatasetCreated:
        """Upload a CSV, JSONL or Parquet file or a zip of CIFs; `(file name, bytes)` for one that is in memory.

        The answer holds the validation report. `unit` (and `transform`) are for a property of your own. Raises
        ServerError `dataset_invalid`, with the report in `problem`, when too few rows can be used.
        """
        form = {"property": property, "name": name, "unit": unit, "transform": transform}
        # The same rows are the same data set, so that sending them again makes no second one.
        call = Call("POST", "/v1/datasets", form=form, files=[("file", upload_of(file))])
        return self._transport.ask(call, DatasetCreated)

    def get(self, dataset_id: str) -> DatasetRead:
        """With its validation report."""
        call = Call("GET", "/v1/datasets/{dataset_id}", {"dataset_id": dataset_id})
        return self._transport.ask(call, DatasetRead)

    def list(self, property: str | None = None) -> Iterator[DatasetSummary]:
        """All of them, newest first; or those of one property."""
        for item in all_pages(self._transport, Call("GET", "/v1/datasets", params={"property": property})):
            yield DatasetSummary.model_validate(item)

    def delete(self, dataset_id: str) -> None:
        """Raises Conflict while a job or a model needs it."""
        call = Call("DELETE", "/v1/datasets/{dataset_id}", {"dataset_id": dataset_id}, is_repeatable=False)
        self._transport.send(call)


class FineTuning(Jobs[FineTuningJobRead]):
    """Jobs that make a model from a data set."""

    _path = "/v1/fine-tuning/jobs"
    _model = FineTuningJobRead

    def methods(self) -> list[MethodRead]:
        """The ways to train on offer."""
        return (self._transport.ask(Call("GET", "/v1/fine-tuning/methods"), MethodList)).items

    def create(
        self,
        dataset_id: str,
        model_name: str,
        *,
        base_model: str = "auto",
        method: str = "fine_tune",
        hyperparameters: dict[str, Any] | None = None,
        seed: int = 0,
        webhook: str | None = None,
        webhook_secret: str | None = None,
        idempotency_key: str | None = None,
        **further: Any,
    ) -> FineTuningJobRead:
        """Start a training. Sent again after a broken connection it still makes one job only; with a key of your own
        that also holds for a script that is run again. The end of the job is posted to `webhook`, signed where there
        is a secret."""
        fields = {
            "dataset_id": dataset_id, "model_name": model_name, "base_model": base_model, "method": method,
            "hyperparameters": hyperparameters or {}, "seed": seed, **announced(webhook, webhook_secret), **further,
        }  # fmt: skip
        body = body_of(FineTuningJobCreate.model_validate(fields))
        call = Call("POST", self._path, json=body, headers=new_idempotency_key(idempotency_key))
        return self._transport.ask(call, FineTuningJobRead)

    def report(self, job_id: str) -> FineTuningReport:
        """What a succeeded job found. Raises Conflict before its end."""
        call = Call("GET", self._path + "/{job_id}/report", {"job_id": job_id}, params={"format": "json"})
        return self._transport.ask(call, FineTuningReport)

    def save_report(self, job_id: str, target: Path) -> Path:
        """The report as a page for people."""
        call = Call("GET", self._path + "/{job_id}/report", {"job_id": job_id}, params={"format": "html"})
        return self._transport.download(call, target)


class Screenings(Jobs[ScreeningRead]):
    """Candidates, of which those are named that are likeliest to be what is looked for."""

    _path = "/v1/screenings"
    _model = ScreeningRead

    def create(
        self,
        candidates: Path | Upload | str | Material | Iterable[Material] | None = None,
        *,
        dataset_id: str | None = None,
        generator: Mapping[str, Any] | None = None,
        webhook: str | None = None,
        webhook_secret: str | None = None,
        idempotency_key: str | None = None,
        **wish: Any,
    ) -> ScreeningRead:
        """Screen the rows of a table or zip (a `pathlib.Path`, or `(file name, bytes)`), of a stored data set, what a
        generator makes, or a list of materials.

        `wish` are the fields of a ScreeningWish: `constraints`, `objectives`, `properties`, `elements`, `count`, ...
        The end of the job is posted to `webhook`, signed where there is a secret.
        """
        headers = new_idempotency_key(idempotency_key)
        if isinstance(candidates, Path) or is_upload(candidates):
            files = [("file", upload_of(candidates))]
            form = {
                "wish": ScreeningWish.model_validate(wish).model_dump_json(exclude_unset=True),
                "webhook_url": webhook, "webhook_secret": webhook_secret,
            }  # fmt: skip
            return self._transport.ask(Call("POST", self._path, form=form, files=files, headers=headers), ScreeningRead)
        fields = {"dataset_id": dataset_id, "generator": generator, **announced(webhook, webhook_secret), **wish}
        if candidates is not None:
            fields["candidates"] = [{"id": each.name, **each.content} for each in named_inputs(candidates)]
        body = body_of(ScreeningCreate.model_validate({k: v for k, v in fields.items() if v is not None}))
        return self._transport.ask(Call("POST", self._path, json=body, headers=headers), ScreeningRead)

    def save_results(
        self, job_id: str, target: Path, *, format: ResultFormat = "csv", scope: ResultScope = "selected"
    ) -> Path:
        """One line for each candidate: those that were selected, or all."""
        params = {"format": format, "scope": scope}
        call = Call("GET", self._path + "/{job_id}/results", {"job_id": job_id}, params=params)
        return self._transport.download(call, target)

    def save_structures(self, job_id: str, target: Path) -> Path:
        """The selected crystals as a zip of CIFs."""
        call = Call("GET", self._path + "/{job_id}/structures", {"job_id": job_id})
        return self._transport.download(call, target)

    def delete(self, job_id: str) -> None:
        """Delete the results; the job stays listed. Raises Conflict before its end."""
        call = Call("DELETE", self._path + "/{job_id}", {"job_id": job_id}, is_repeatable=False)
        self._transport.send(call)


class BulkPredictions(Jobs[BulkPredictionRead]):
    """Predictions for files of any length."""

    _path = "/v1/bulk-predictions"
    _model = BulkPredictionRead

    def create(
        self,
        source: Path | Upload | str,
        *,
        models: list[str] | None = None,
        properties: list[str] | None = None,
        interval_level: float | None = None,
        webhook: str | None = None,
        webhook_secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> BulkPredictionRead:
        """Predict for each row of a file, or of a stored data set, whose id is given as text. The end of the job is
        posted to `webhook`, signed where there is a secret."""
        choice = {"models": models, "properties": properties, "interval_level": interval_level}
        chosen = {name: value for name, value in choice.items() if value is not None}
        headers = new_idempotency_key(idempotency_key)
        if isinstance(source, str):
            body = {"dataset_id": source, **announced(webhook, webhook_secret), **chosen}
            call = Call("POST", self._path, json=body, headers=headers)
        else:
            form = {**chosen, "webhook_url": webhook, "webhook_secret": webhook_secret}
            call = Call("POST", self._path, form=form, files=[("file", upload_of(source))], headers=headers)
        return self._transport.ask(call, BulkPredictionRead)

    def save_results(
        self,
        job_id: str,
        target: Path,
        *,
        format: ResultFormat = "csv",
        partial: bool = False,
    ) -> Path:
        """One line for each input and model, in the order of the file; `partial`: also of a job without success."""
        params = {"format": format, "partial": partial or None}
        call = Call("GET", self._path + "/{job_id}/results", {"job_id": job_id}, params=params)
        return self._transport.download(call, target)

    def delete(self, job_id: str) -> None:
        """Delete the results; the job stays listed. Raises Conflict before its end."""
        call = Call("DELETE", self._path + "/{job_id}", {"job_id": job_id}, is_repeatable=False)
        self._transport.send(call)


def announced(webhook: str | None, secret: str | None) -> dict[str, Any]:
    """The field of a request in JSON that names where the end of its job is announced."""
    return {} if webhook is None else {"webhook": {"url": webhook, "secret": secret}}


def is_upload(candidates: object) -> TypeGuard[Upload]:
    return isinstance(candidates, tuple) and len(candidates) == 2 and isinstance(candidates[1], bytes | Path)


def upload_of(file: Path | Upload) -> Upload:
    return (file.name, file) if isinstance(file, Path) else file
