"""A run over many inputs on this machine, in a folder beside the file it makes, that goes on where it was stopped."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from app.bulk.file_jobs import bulk_limits
from app.bulk.folder import RunFolder
from app.bulk.parts import PartInfo, total
from app.bulk.run import default_processes, run_bulk
from app.cli.output import stderr
from app.core.errors import Conflict
from app.core.settings import LimitSettings, Settings

NO_LIMIT = 10**12
_REQUEST_FILE = "request.json"
_LOCK_FILE = "lock"


class UnfinishedRun(Conflict):
    code, title = "unfinished_run", "Another run is unfinished"


@contextmanager
def finished_run(
    settings: Settings, output: Path, request: str, processes: int | None, create: Callable[[RunFolder], None]
) -> Iterator[RunFolder]:
    """The folder of a run once all inputs are predicted; it is removed after use without an error.

    `create` fills a new folder, `request` tells runs apart. Raises what `run_bulk` raises, and UnfinishedRun.
    """
    folder = RunFolder(output.with_name(f"{output.name}.parts"))
    with _only_here(folder.path):
        if not folder.is_created():
            # Before the folder counts as created.
            (folder.path / _REQUEST_FILE).write_text(request)
            create(folder)
        elif (folder.path / _REQUEST_FILE).read_text() != request:
            raise UnfinishedRun(
                f"{folder.path} holds an unfinished run on another file, or with other models. Finish that one with "
                "its own command, or remove the folder."
            )
        folder.set_processes(processes or settings.bulk.processes or default_processes(), settings.device)
        _run(folder)
        yield folder
        shutil.rmtree(folder.path)


def state_of(file: Path) -> str:
    """Changes when the file does."""
    state = file.stat()
    return f"{file.resolve()} {state.st_size} {state.st_mtime_ns}"


def write_pieces(output: Path, pieces: Iterable[bytes]) -> None:
    """The file is there whole or not at all."""
    partial = output.with_name(f"{output.name}.partial")
    with partial.open("wb") as file:
        for piece in pieces:
            file.write(piece)
    os.replace(partial, output)


def no_limits(settings: Settings) -> LimitSettings:
    """Files of one's own may be of any size."""
    unlimited = {"max_archive_members": NO_LIMIT, "max_inflated_bytes": NO_LIMIT}
    return bulk_limits(settings).model_copy(update=unlimited)


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
