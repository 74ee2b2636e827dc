"""Predictions, vectors, suggestions and readings by a server, of files that are here."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any

from app.bulk.inputs import look_at, read_rows
from app.cli.inputs import read_inputs
from app.cli.server import Server, ServerError
from app.core.errors import NoUsableInput, XtalforgeError
from app.core.settings import Settings
from app.predictions.answers import Wishes
from app.predictions.embedding_schemas import EmbeddingAnswer
from app.predictions.inputs import FailedInput, Formula, RawInput, StructureObject, StructureText
from app.predictions.schemas import PredictionAnswer
from app.structures.detect import StructureFormat, detect_format
from app.suggestions.candidates import candidate_of
from app.suggestions.schemas import SuggestionAnswer, SuggestionWish

CHUNK = 200
_MOST_ROWS = 20_000


def predict_on_server(
    url: str, paths: Sequence[Path], compositions: Sequence[str], models: Sequence[str] | None,
    properties: Sequence[str] | None, wishes: Wishes,
) -> PredictionAnswer:  # fmt: skip
    """The answers for all files and formulas. Raises ServerError, InvalidRequest."""
    asked = {"models": models, "properties": properties, **asdict(wishes)}
    whole: dict[str, Any] = {"predictions": [], "errors": []}
    with Server(url) as server:
        for chunk in _chunks(paths, compositions, whole["errors"]):
            _add(whole, _answered(server, "/v1/predictions", chunk, asked), ("predictions", "errors"))
    return PredictionAnswer.model_validate(whole)


def embed_on_server(
    url: str, paths: Sequence[Path], compositions: Sequence[str], model: str, *, contributions: bool
) -> EmbeddingAnswer:
    """The vectors of all files and formulas. Raises ServerError, InvalidRequest."""
    asked = {"model": model, "contributions": contributions}
    whole: dict[str, Any] = {"embeddings": [], "errors": []}
    with Server(url) as server:
        for chunk in _chunks(paths, compositions, whole["errors"]):
            _add(whole, _answered(server, "/v1/embeddings", chunk, asked), ("embeddings", "errors"))
    if "model" not in whole:
        raise NoUsableInput(
            "No input has a vector: " + "; ".join(f"{e['input_id']}: {e['detail']}" for e in whole["errors"])
        )
    return EmbeddingAnswer.model_validate(whole)


def structures_on_server(server: Server, paths: Sequence[Path]) -> dict[str, Any]:
    """The crystals of all files as the server reads them. Raises ServerError, InvalidRequest."""
    whole: dict[str, Any] = {"structures": [], "errors": []}
    for chunk in _chunks(paths, (), whole["errors"]):
        _add(whole, server.compute("/v1/structures", {"inputs": chunk}), ("structures", "errors"))
    return whole


def suggest_on_server(url: str, source: Path | str, wish: SuggestionWish) -> SuggestionAnswer:
    """From the rows of a file, which must be few enough for one request, or of the data set of that id there. Raises
    ServerError and for the file what `look_at` raises."""
    body: dict[str, Any] = wish.model_dump(mode="json", exclude_none=True)
    failed: list[dict[str, Any]] = []
    if isinstance(source, str):
        body["dataset_id"] = source
    else:
        body["candidates"], failed = _as_json(_rows(source))
    with Server(url) as server:
        answer = server.compute("/v1/suggestions", body)
    answer["errors"] += failed
    return SuggestionAnswer.model_validate(answer)


def _rows(path: Path) -> list[RawInput]:
    settings = Settings()
    with path.open("rb") as file:
        found = look_at(file, settings.limits, _MOST_ROWS)
    return [candidate_of(row) for row in read_rows(path, found, settings.limits)]


def _answered(server: Server, path: str, inputs: list[dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
    """A request of which nothing can be used is refused by the server; here that is an answer of errors only."""
    try:
        return server.compute(path, {"inputs": inputs, **asked})
    except ServerError as error:
        listed = error.body.get("errors")
        if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or not listed or "input_id" not in listed[0]:
            raise
        return {"errors": listed}


def _add(whole: dict[str, Any], answer: dict[str, Any], lists: tuple[str, ...]) -> None:
    for name, value in answer.items():
        whole[name] = whole[name] + value if name in lists else value


def _chunks(
    paths: Sequence[Path], compositions: Sequence[str], errors: list[dict[str, Any]]
) -> Iterator[list[dict[str, Any]]]:
    limits = Settings().limits.model_copy(update={"max_inputs_per_request": 10_000_000})
    raw, failed = read_inputs(paths, compositions, limits)
    inputs, unreadable = _as_json(raw)
    errors += [_error(each) for each in failed] + unreadable
    for start in range(0, len(inputs), CHUNK):
        yield inputs[start : start + CHUNK]


def _as_json(raw: Sequence[RawInput]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The inputs as requests have them, and those that cannot be sent."""
    inputs, errors = [], []
    for each in raw:
        try:
            inputs.append({"id": each.id, **_content(each)})
        except XtalforgeError as error:
            errors.append(_error(FailedInput(each.id, error)))
    return inputs, errors


def _content(given: RawInput) -> dict[str, Any]:
    match given.content:
        case Formula(text):
            return {"composition": text}
        case StructureObject(text):
            return {"structure": json.loads(text)}
        case StructureText(text, fmt, name):
            known = fmt or detect_format(text, name)
            return {"structure": json.loads(text)} if known is StructureFormat.JSON else {known.value: text}
        case unreadable:
            raise unreadable.error


def _error(failed: FailedInput) -> dict[str, Any]:
    return {"input_id": failed.id, "code": failed.error.code, "detail": failed.error.detail, "model": None}
