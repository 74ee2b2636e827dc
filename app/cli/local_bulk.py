"""A bulk prediction on this machine, in a folder beside the file it makes."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from app.bulk.choosing import choose_models
from app.bulk.folder import BulkRun, RunFolder
from app.bulk.formats import ResultFormat
from app.bulk.inputs import look_at
from app.bulk.parts import PartInfo, read_part, total
from app.bulk.results import encode
from app.bulk.run import default_processes, run_bulk
from app.bulk.schemas import ModelChoice
from app.bulk.file_jobs import bulk_limits
from app.bulk.spec import ModelUse
from app.cli.installation import open_installation
from app.cli.output import stderr
from app.core.errors import Conflict
from app.core.settings import Settings
from app.predictions.directory import ModelDirectory

_NO_LIMIT = 10**12
_REQUEST_FILE = "request.json"
_LOCK_FILE = "lock"


class UnfinishedRun(Conflict):
    code, title = "unfinished_run", "Another run is unfinished"


def run_here(
    settings: Settings, data: Path, output: Path, fmt: ResultFormat, choice: ModelChoice, processes: int | None
) -> tuple[int, int]:
    """Inputs done, and those among them without a value. Raises what `run_bulk` raises, and UnfinishedRun."""
    folder = RunFolder(output.with_name(f"{output.name}.parts"))
    request = _request(data, choice)
    with _only_here(folder.path):
        if not folder.is_created():
            _create(settings, folder, data, choice, request)
        elif (folder.path / _REQUEST_FILE).read_text() != request:
            raise UnfinishedRun(
                f"{folder.path} holds an unfinished run on another file, or with other models. Finish that one with "
                "its own command, or remove the folder."
            )
        folder.set_processes(processes or settings.bulk.processes or default_processes(), settings.device)
        _run(folder)
        infos = folder.parts()
        _write(output, fmt, [folder.part_path(info.number) for info in infos])
        shutil.rmtree(folder.path)
    n_inputs, n_failed, _ = total(infos)
    return n_inputs, n_failed


def _request(data: Path, choice: ModelChoice) -> str:
    """What tells runs apart: the same file, unchanged, with the same models asked for."""
    state = data.stat()
    return f"{data.resolve()} {state.st_size} {state.st_mtime_ns} {choice.model_dump_json()}"


@contextmanager
def _only_here(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnfinishedRun(f"Another command is running in {folder}.") from None
        try:
            yield
        finally:
            if folder.is_dir() and not RunFolder(folder).is_created():
                shutil.rmtree(folder, ignore_errors=True)


def _create(settings: Settings, folder: RunFolder, data: Path, choice: ModelChoice, request: str) -> None:
    unlimited = {"max_archive_members": _NO_LIMIT, "max_inflated_bytes": _NO_LIMIT}
    limits = bulk_limits(settings).model_copy(update=unlimited)
    with data.open("rb") as file:
        found = look_at(file, limits, _NO_LIMIT)
    for note in found.notes:
        stderr.print(f"- {note}", markup=False, highlight=False)
    with open_installation(settings) as local:
        directory = ModelDirectory(local.sessions, local.store)
        models = choose_models(directory, choice, found)
        run = BulkRun(
            input_path=str(data.resolve()), input=found, models=tuple(ModelUse.of(model) for model in models),
            limits=limits, n_processes=1, device=settings.device,
        )  # fmt: skip
        (folder.path / _REQUEST_FILE).write_text(request)
        folder.create(run, (directory.load(model.version) for model in models))


def _run(folder: RunFolder) -> None:
    done, failed, _ = total(folder.parts())
    n_rows = folder.run().input.n_rows
    with tqdm(
        desc="predicting", unit="input", unit_scale=True, total=n_rows, initial=done, file=stderr.file, disable=None
    ) as bar:
        run_bulk(folder, _Bar(bar, failed), lambda: False)


class _Bar:
    def __init__(self, bar: "tqdm[NoReturn]", n_failed: int) -> None:
        self._bar = bar
        self._n_failed = n_failed

    def counted(self, n_rows: int) -> None:
        self._bar.total = n_rows
        self._bar.refresh()

    def finished(self, part: PartInfo) -> None:
        self._n_failed += part.n_failed
        self._bar.update(part.n_inputs)
        self._bar.set_postfix_str(f"{self._n_failed:,} failed")


def _write(output: Path, fmt: ResultFormat, parts: Sequence[Path]) -> None:
    partial = output.with_name(f"{output.name}.partial")
    with partial.open("wb") as file:
        for piece in encode(map(read_part, parts), fmt):
            file.write(piece)
    os.replace(partial, output)
