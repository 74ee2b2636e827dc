"""What a process of the pool runs: rows to results, or, beside a GPU, rows to graphs."""

import os
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.bulk.chunks import Chunk
from app.bulk.folder import RunFolder
from app.bulk.inputs import count_rows
from app.bulk.parts import Lines, PartInfo, write_part
from app.bulk.pool import Failure, Marker, Piece, Task
from app.bulk.reading import Entry, read_chunk
from app.core.errors import XtalforgeError
from app.core.logging import configure_logging
from app.learning.graphs.settings import GraphSettings
from app.predictions.selection import SelectedModel

if TYPE_CHECKING:
    from app.bulk.answering import Answerer

_OOM_SCORE = "500"
"""When memory runs out the kernel should take one of these first: only they are replaced."""


def answer_chunks(connection: Connection, folder: Path, marker: Marker) -> None:
    """Read rows and run the models on one CPU thread; the answer to a chunk is its PartInfo."""

    def prepare(run_folder: RunFolder) -> Callable[[Task, Chunk], Any]:
        import torch

        torch.set_num_threads(1)
        answerer = load_answerer(run_folder, "cpu")
        settings = graph_settings(run_folder.models(run_folder.run()))

        def work(task: Task, chunk: Chunk) -> PartInfo:
            lines = Lines()

            def hand_on(entries: list[Entry]) -> None:
                marker.end()
                lines.extend(answerer.answer(entries))

            read_chunk(chunk, settings, task.excluded, marker.begin, hand_on)
            return write_chunk(run_folder, chunk, lines)

        return work

    _serve(connection, RunFolder(folder), marker, prepare)


def read_chunks(connection: Connection, folder: Path, marker: Marker) -> None:
    """Only read: the answer to a chunk is its entries in pieces, then None. Imports no torch."""

    def prepare(run_folder: RunFolder) -> Callable[[Task, Chunk], Any]:
        settings = graph_settings(run_folder.models(run_folder.run()))

        def hand_on(entries: list[Entry]) -> None:
            marker.end()
            connection.send(Piece(entries))

        return lambda task, chunk: read_chunk(chunk, settings, task.excluded, marker.begin, hand_on)

    _serve(connection, RunFolder(folder), marker, prepare)


def graph_settings(models: Sequence[SelectedModel]) -> list[GraphSettings]:
    """The different ones among the models', in a fixed order."""
    return list(dict.fromkeys(model.graph for model in models if model.graph is not None))


def load_answerer(folder: RunFolder, device: str) -> "Answerer":
    """The models of a run, loaded. Raises ArtifactCorrupt."""
    from app.bulk.answering import Answerer
    from app.learning.predictor import Predictor

    models = folder.models(folder.run())
    predictors = [
        Predictor.from_bytes(model.manifest, folder.weights(index), folder.trust(index), device)
        for index, model in enumerate(models)
    ]
    run = folder.run()
    return Answerer(models, predictors, graph_settings(models), run.interval_level, run.elements)


def write_chunk(folder: RunFolder, chunk: Chunk, lines: Lines) -> PartInfo:
    rows = range(chunk.first_row, chunk.first_row + len(chunk.rows))
    return write_part(folder.part_path(chunk.number), chunk.number, rows, lines)


def _serve(
    connection: Connection,
    folder: RunFolder,
    marker: Marker,
    prepare: Callable[[RunFolder], Callable[[Task, Chunk], Any]],
) -> None:
    """Tasks until None comes; an error is the last thing sent."""
    task: Task | None = connection.recv()
    if task is None:
        return
    try:
        run = folder.run()
        configure_logging(run.log_level, run.log_format)
        _give_way(run.niceness)
        work = prepare(folder)
        while task is not None:
            is_count = task.chunk is None
            answer = count_rows(folder.input_path(run), run.input) if is_count else work(task, task.chunk)  # type: ignore[arg-type]
            marker.end()
            connection.send(answer)
            task = connection.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the run has ended
        raise
    except Exception as error:  # noqa: BLE001 - told to the run, which ends with it
        connection.send(Failure(_portable(error), traceback.format_exc()))


def _portable(error: Exception) -> Exception:
    if isinstance(error, XtalforgeError | MemoryError | OSError):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def _give_way(niceness: int) -> None:
    os.nice(niceness)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
