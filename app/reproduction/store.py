"""Results of trials on disk: an append-only file of JSON lines, and one of the test rows' predictions beside it."""

import json
import os
from base64 import b85decode, b85encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import compress, decompress

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from app.registry.manifest import Coverage, Metrics

FloatArray = npt.NDArray[np.float64]

TRIALS_FILE = "trials.jsonl"
PREDICTIONS_FILE = "predictions.jsonl"


class Record(BaseModel):
    """What one trial gave. `trial` is its identity; `test_rows` a digest of which rows were predicted.

    A trial that cannot be trained has `failure` instead of metrics. `wall_s` is the training's own time. `coverage` is
    that of the model's intervals of level 0.9, where it has any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    trial: dict[str, Any]
    metrics: Metrics | None = None
    test_rows: str = ""
    best_epoch: int = 0
    epochs: int = 0
    wall_s: float = 0.0
    search: dict[str, Any] | None = None
    coverage: Coverage | None = None
    failure: str | None = None
    device: str
    machine: str
    versions: dict[str, str]
    at: str


@dataclass(frozen=True, slots=True)
class TestRows:
    """Labels and predictions of a trial's test rows in physical units, (n,), with the precision of float32."""

    __test__ = False

    labels: FloatArray
    predictions: FloatArray


class ResultStore:
    """One folder. Only one process writes; a line that was torn by a crash is dropped and cut off on the next write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def records(self) -> dict[str, Record]:
        """By key; of equal keys the last."""
        lines = _read_lines(self.folder / TRIALS_FILE)
        return {record.key: record for record in (Record.model_validate(line) for line in lines)}

    def test_rows(self) -> dict[str, TestRows]:
        """By key of the trial."""
        found = _read_lines(self.folder / PREDICTIONS_FILE)
        return {each["key"]: TestRows(_unpack(each["labels"]), _unpack(each["predictions"])) for each in found}

    def add(self, record: Record, rows: TestRows | None) -> None:
        """Predictions first: a record is only there with its predictions."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if rows is not None:
            packed = {"key": record.key, "labels": _pack(rows.labels), "predictions": _pack(rows.predictions)}
            _append(self.folder / PREDICTIONS_FILE, json.dumps(packed))
        _append(self.folder / TRIALS_FILE, record.model_dump_json(exclude_none=True))


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    *whole, _torn = path.read_bytes().split(b"\n")
    for line in whole:
        yield json.loads(line)


def _append(path: Path, line: str) -> None:
    """Write a line behind the last whole one, and have it on disk."""
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _pack(values: FloatArray) -> str:
    """A number that float32 cannot hold becomes the largest it can: figures need finite ones."""
    largest = np.finfo(np.float32).max
    values = np.clip(values, -largest, largest)
    return b85encode(compress(values.astype("<f4").tobytes(), 9)).decode()


def _unpack(text: str) -> FloatArray:
    return np.frombuffer(decompress(b85decode(text)), dtype="<f4").astype(np.float64)
