"""The folder of one run: all it needs, and what it has done so far.

    run.json                  what to read, with which bounds, on what
    models/<n>/               manifest.json, weights.safetensors and trust.safetensors of each model
    parts/<chunk>.parquet     results of finished chunks; a file appears complete or not at all

A run that was stopped, however, goes on from its parts.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from app.bulk.chunks import CHUNK_CHARACTERS, CHUNK_ROWS
from app.bulk.filtering import ElementFilter
from app.bulk.inputs import InputFile
from app.bulk.parts import PartInfo, read_info
from app.bulk.spec import ModelUse
from app.core.settings import Device, LimitSettings, LogFormat, LogLevel
from app.learning.graphs.settings import GraphSettings
from app.predictions.schemas import DEFAULT_LEVEL
from app.predictions.selection import SelectedModel
from app.registry.artifact import Artifact, StoredVersion
from app.registry.manifest import MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest

RUN_FILE = "run.json"
MODELS_FOLDER = "models"
PARTS_FOLDER = "parts"


class BulkRun(BaseModel):
    """What a run is told. The two bounds on chunks are part of it: a run goes on only with the chunks it began with.

    `counts`: whether it counts the rows first where nothing else tells their number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_path: str
    input: InputFile
    models: tuple[ModelUse, ...]
    limits: LimitSettings
    counts: bool = True
    chunk_rows: int = CHUNK_ROWS
    chunk_characters: int = CHUNK_CHARACTERS
    interval_level: float = DEFAULT_LEVEL
    elements: ElementFilter | None = None
    n_processes: int
    niceness: int = 0
    device: Device
    log_level: LogLevel = "WARNING"
    log_format: LogFormat = "console"


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, run: BulkRun, models: Iterator[Artifact]) -> None:
        """Write what the run needs, `run.json` last; `models` are those of the run, in their order."""
        (self.path / PARTS_FOLDER).mkdir(parents=True, exist_ok=True)
        for index, (manifest, weights, trust) in enumerate(models):
            folder = self._model_folder(index)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())
            (folder / WEIGHTS_FILE).write_bytes(weights)
            if trust is not None:
                (folder / TRUST_FILE).write_bytes(trust)
        self._write(run)

    def run(self) -> BulkRun:
        return BulkRun.model_validate_json((self.path / RUN_FILE).read_text())

    def is_created(self) -> bool:
        return (self.path / RUN_FILE).is_file()

    def set_processes(self, n_processes: int, device: Device) -> None:
        """What may differ each time the run goes on."""
        self._write(self.run().model_copy(update={"n_processes": n_processes, "device": device}))

    def input_path(self, run: BulkRun) -> Path:
        return self.path / run.input_path

    def models(self, run: BulkRun) -> list[SelectedModel]:
        return [self._selected(index, use) for index, use in enumerate(run.models)]

    def weights(self, index: int) -> bytes:
        return (self._model_folder(index) / WEIGHTS_FILE).read_bytes()

    def trust(self, index: int) -> bytes | None:
        """What the model's intervals come from, where it has any."""
        path = self._model_folder(index) / TRUST_FILE
        return path.read_bytes() if path.is_file() else None

    def part_path(self, number: int) -> Path:
        return self.path / PARTS_FOLDER / f"{number:08d}.parquet"

    def parts(self) -> list[PartInfo]:
        """Of the parts that are here, in order."""
        paths = sorted((self.path / PARTS_FOLDER).glob("*.parquet"))
        return [read_info(path, int(path.stem)) for path in paths]

    def _write(self, run: BulkRun) -> None:
        partial = self.path / f"{RUN_FILE}.partial"
        partial.write_text(run.model_dump_json())
        os.replace(partial, self.path / RUN_FILE)

    def _model_folder(self, index: int) -> Path:
        return self.path / MODELS_FOLDER / f"{index:03d}"

    def _selected(self, index: int, use: ModelUse) -> SelectedModel:
        document = json.loads((self._model_folder(index) / MANIFEST_FILE).read_text())
        manifest = Manifest.model_validate(document)
        graph = GraphSettings.model_validate(manifest.graph) if manifest.graph is not None else None
        version = StoredVersion(use.id, use.name, use.version, use.sha256, document)
        return SelectedModel(version, manifest, graph, frozenset(manifest.elements), use.is_named)
