"""A screening on this machine."""

import io
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from app.bulk.folder import BulkRun, RunFolder
from app.bulk.inputs import InputFile, dataset_file, look_at
from app.bulk.spec import ModelUse
from app.cli.installation import Installation, open_installation
from app.cli.local_run import NO_LIMIT, finished_run, no_limits, state_of
from app.cli.output import stderr
from app.core.db import open_session
from app.core.settings import Settings
from app.datasets.service import DatasetService
from app.predictions.directory import ModelDirectory
from app.registry.manifest import InputKind
from app.screening.choosing import choose_for
from app.screening.generation.candidates import count_candidates
from app.screening.generation.table import generated_file, write_candidates
from app.screening.schemas import ResultScope, ScreeningCreate
from app.screening.selecting import STRUCTURES_FILE, TABLE_FILE, read_counts, select, write_wish
from app.screening.service import MAX_CANDIDATES, candidate_lines
from app.screening.table import read_table
from app.screening.wish import ScreeningWish

_INPUT_FILE = "input"


class LocalScreening:
    """Candidates of a file, or those that a request names or makes."""

    def __init__(
        self, settings: Settings, data: Path | None, wish: ScreeningWish, request: ScreeningCreate | None
    ) -> None:
        self._settings = settings
        self._data = data
        self._wish = wish
        self._request = request

    def run(self, output: Path, processes: int | None, structures: Path | None) -> tuple[dict[str, int], pa.Table]:
        """Counts of what became of the candidates, and the table of all. Raises what `finished_run` raises.

        CIFs of those selected go to `structures`.
        """
        asked = self._wish if self._request is None else self._request
        request = f"{state_of(self._data) if self._data is not None else ''} {asked.model_dump_json()}"
        with finished_run(self._settings, output, request, processes, self._create) as folder:
            with stderr.status("choosing the best"):
                select(folder)
            found, table = read_counts(folder), read_table(folder.path / TABLE_FILE, ResultScope.ALL)
            if structures is not None and (folder.path / STRUCTURES_FILE).is_file():
                shutil.copyfile(folder.path / STRUCTURES_FILE, structures)
        return found, table

    def _create(self, folder: RunFolder) -> None:
        settings, wish = self._settings, self._wish
        limits = no_limits(settings)
        with open_installation(settings) as local:
            input_path, found, kind = self._input(local, folder)
            directory = ModelDirectory(local.sessions, local.store)
            models = choose_for(directory, wish, found, kind)
            run = BulkRun(
                input_path=str(input_path.resolve()), input=found, models=tuple(ModelUse.of(m) for m in models),
                limits=limits, n_processes=1, device=settings.device, interval_level=wish.interval_level,
                elements=wish.elements,
            )  # fmt: skip
            write_wish(folder, wish)
            folder.create(run, (directory.load(model.version) for model in models))

    def _input(self, local: Installation, folder: RunFolder) -> tuple[Path, InputFile, InputKind | None]:
        path, request = folder.path / _INPUT_FILE, self._request
        if self._data is not None:
            with self._data.open("rb") as file:
                return self._data, self._looked_at(file), None
        assert request is not None
        if request.generator is not None:
            n = count_candidates(request.generator, self._wish.elements, MAX_CANDIDATES)
            with stderr.status(f"making {n:,} candidates"):
                write_candidates(request.generator, self._wish.elements, path)
            return path, generated_file(request.generator, n), None
        if request.candidates is not None:
            content = candidate_lines(request.candidates)
            path.write_bytes(content)
            return path, self._looked_at(io.BytesIO(content)), None
        with open_session(local.sessions, read_only=True) as session:
            dataset = DatasetService(session, local.store, local.settings).get(request.dataset_id or "")
            path.write_bytes(local.store.get(dataset.artifact_path))
            return path, dataset_file(dataset.n_rows, MAX_CANDIDATES), InputKind(dataset.input_kind)

    def _looked_at(self, file: Any) -> InputFile:
        found = look_at(file, no_limits(self._settings), min(NO_LIMIT, MAX_CANDIDATES))
        for note in found.notes:
            stderr.print(f"- {note}", markup=False, highlight=False)
        return found
