"""The folder through which the supervisor and the process that does the work talk; here that of a training.

    <data_dir>/jobs/<job id>/<fencing token>/
        run.json            what to train, on which device
        dataset.parquet     the table
        base/               manifest.json and weights.safetensors of the base model, if there is one
        source-0/ ...       the same of other models that the method may use
        checkpoint/         state of the run, from which the next attempt goes on
        events.jsonl        one event a line, written by the process
        result/             manifest.json, weights.safetensors, trust.safetensors and test_rows.json; appears complete
                            or not at all
        error.json          why there is no result

Each attempt has its own folder (a helper's is called helper-<token>), so a process that outlives its lease cannot touch
the files of the next one.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from app.core.disk import NO_ROOM
from app.core.settings import Device, LogFormat, LogLevel
from app.fine_tuning.held_out import HeldOutRow
from app.registry.artifact import Artifact
from app.registry.manifest import MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest, Parent

RUN_FILE = "run.json"
DATASET_FILE = "dataset.parquet"
BASE_FOLDER = "base"
SOURCE_FOLDER = "source"
CHECKPOINT_FOLDER = "checkpoint"
EVENTS_FILE = "events.jsonl"
RESULT_FOLDER = "result"
TEST_ROWS_FILE = "test_rows.json"
ERROR_FILE = "error.json"
HELPER_PREFIX = "helper-"

SUCCEEDED, FAILED, STOPPED, DISK_FULL = 0, 1, 2, 3
"""Exit codes of the process: with a result, with an error file, told to stop, no room for even the error file."""

PARENT_PID_VARIABLE = "JOB_PARENT_PID"
"""Environment variable of the process: whose death it must not outlive."""


_TEST_ROWS = TypeAdapter(list[HeldOutRow])


class Run(BaseModel):
    """What the training process is told; `spec` are the fields of `app.learning.training_job.TrainingSpec`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: dict[str, Any]
    parent: Parent | None
    device: Device
    log_level: LogLevel
    log_format: LogFormat


class RunError(BaseModel):
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    path: Path

    @classmethod
    def create(cls, job_folder: Path, token: str) -> "AttemptFolder":
        """A folder for this attempt, with the checkpoint of the last one; the folders of earlier attempts go."""
        folder = cls(job_folder / token)
        folder.checkpoint.mkdir(parents=True)
        others = [path for path in job_folder.iterdir() if path != folder.path]
        # Helpers on this machine are at work whoever leads.
        earlier = [path for path in others if not path.name.startswith(HELPER_PREFIX)]
        with_state = [path / CHECKPOINT_FOLDER for path in earlier if (path / CHECKPOINT_FOLDER).is_dir()]
        for source in sorted(with_state, key=lambda path: path.stat().st_mtime):
            shutil.copytree(source, folder.checkpoint, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.partial"))
        for path in earlier:
            shutil.rmtree(path, ignore_errors=True)
        return folder

    @classmethod
    def join(cls, job_folder: Path, token: str) -> "AttemptFolder":
        """A folder for a helper, beside whatever else there is of the job."""
        folder = cls(job_folder / f"{HELPER_PREFIX}{token}")
        folder.path.mkdir(parents=True)
        return folder

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT_FOLDER

    def write_input(
        self,
        run: Run,
        dataset: bytes,
        base: tuple[Manifest, bytes] | None,
        sources: Sequence[tuple[Manifest, bytes]] = (),
    ) -> None:
        (self.path / DATASET_FILE).write_bytes(dataset)
        if base is not None:
            _write_model(self.path / BASE_FOLDER, *base)
        for number, source in enumerate(sources):
            _write_model(self.path / f"{SOURCE_FOLDER}-{number}", *source)
        (self.path / RUN_FILE).write_text(run.model_dump_json())

    def read_input(self) -> tuple[Run, bytes, tuple[Manifest, bytes] | None]:
        run = Run.model_validate_json((self.path / RUN_FILE).read_text())
        return run, (self.path / DATASET_FILE).read_bytes(), _read_model(self.path / BASE_FOLDER)

    def read_sources(self) -> list[tuple[Manifest, bytes]]:
        found: list[tuple[Manifest, bytes]] = []
        while (model := _read_model(self.path / f"{SOURCE_FOLDER}-{len(found)}")) is not None:
            found.append(model)
        return found

    def write_result(
        self, manifest: Manifest, weights: bytes, trust: bytes | None, test_rows: Sequence[HeldOutRow] = ()
    ) -> None:
        told = _TEST_ROWS.dump_json(list(test_rows))
        _write_model(self.path / RESULT_FOLDER, manifest, weights, trust, {TEST_ROWS_FILE: told})

    def read_result(self) -> Artifact | None:
        folder = self.path / RESULT_FOLDER
        model = _read_model(folder)
        if model is None:
            return None
        trust = (folder / TRUST_FILE).read_bytes() if model[0].trust is not None else None
        return Artifact(*model, trust)

    def read_test_rows(self) -> list[HeldOutRow]:
        """Of a result that is there."""
        path = self.path / RESULT_FOLDER / TEST_ROWS_FILE
        # A process of the version before may have written the result.
        return _TEST_ROWS.validate_json(path.read_bytes()) if path.is_file() else []

    def write_error(self, error: RunError) -> int:
        """The exit code of a process that ends with this error."""
        partial = self.path / f"{ERROR_FILE}.partial"
        try:
            partial.write_text(error.model_dump_json())
        except OSError as reason:
            if reason.errno in NO_ROOM:
                return DISK_FULL
            raise
        os.replace(partial, self.path / ERROR_FILE)
        return FAILED

    def read_error(self) -> RunError | None:
        path = self.path / ERROR_FILE
        return RunError.model_validate_json(path.read_text()) if path.is_file() else None

    def append_event(self, kind: str, message: str, data: dict[str, Any]) -> None:
        """One line in one write, so that the reader never sees half of it as a line."""
        line = json.dumps({"kind": kind, "message": message, "data": data}, allow_nan=False)
        with (self.path / EVENTS_FILE).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _write_model(
    folder: Path,
    manifest: Manifest,
    weights: bytes,
    trust: bytes | None = None,
    others: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    partial = folder.with_suffix(".partial")
    partial.mkdir()
    (partial / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2))
    (partial / WEIGHTS_FILE).write_bytes(weights)
    if trust is not None:
        (partial / TRUST_FILE).write_bytes(trust)
    for name, content in others.items():
        (partial / name).write_bytes(content)
    os.replace(partial, folder)


def _read_model(folder: Path) -> tuple[Manifest, bytes] | None:
    if not folder.is_dir():
        return None
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    return manifest, (folder / WEIGHTS_FILE).read_bytes()
