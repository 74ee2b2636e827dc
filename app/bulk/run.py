"""A whole run: rows in, one part for each chunk out, in any order, with bounded memory."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.bulk.feeder import Feeder
from app.bulk.folder import RunFolder
from app.bulk.grants import Everything, Grants
from app.bulk.parts import Lines, PartInfo
from app.bulk.pool import Piece, Pool, Task
from app.bulk.worker import answer_chunks, load_answerer, read_chunks, write_chunk
from app.core.settings import Device

GPU_DEVICE: Device = "cuda"
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg")


class RunStopped(Exception):
    """The caller asked to stop; the parts on disk allow to go on."""


@dataclass(frozen=True, slots=True)
class RunSize:
    """How much the input was, parts of earlier attempts included."""

    n_inputs: int
    n_chunks: int


class Listener(Protocol):
    """Told of the progress, in the thread that runs."""

    def counted(self, n_rows: int) -> None: ...

    def finished(self, part: PartInfo) -> None: ...


def run_bulk(
    folder: RunFolder, listener: Listener, should_stop: Callable[[], bool], grants: Grants | None = None
) -> RunSize | None:
    """Answer every row that no part holds yet, or only those that are granted; None when the end was not reached.

    Raises RunStopped, what `read_rows` raises, ArtifactCorrupt for a damaged model, ProcessesLost, and RuntimeError
    for an error inside a process.
    """
    run = folder.run()
    feeder = Feeder(folder, run, grants or Everything())
    tasks = feeder.tasks(has_to_count=run.counts and run.input.n_rows is None)
    is_gpu = has_gpu(run.device)
    with Pool(read_chunks if is_gpu else answer_chunks, folder.path, run.n_processes) as pool:
        answers = pool.run(tasks, should_stop)
        for part in _answer_here(folder, answers, listener) if is_gpu else _answered(answers, listener):
            listener.finished(part)
        if should_stop():
            raise RunStopped
    return RunSize(feeder.n_rows, feeder.n_chunks) if feeder.n_chunks is not None else None


def default_processes() -> int:
    """One for each core this program may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu(device: Device) -> bool:
    """Whether the networks run on a GPU. Raises RuntimeError for `cuda` where there is none.

    torch, slow to import, is asked only where a driver is.
    """
    if device == "cpu" or (device == "auto" and not any(Path(path).exists() for path in _GPU_FILES)):
        return False
    from app.learning.device import torch_device

    return torch_device(device).type == "cuda"


def _answered(answers: Iterator[tuple[Task, object]], listener: Listener) -> Iterator[PartInfo]:
    for _, answer in answers:
        if isinstance(answer, PartInfo):
            yield answer
        elif isinstance(answer, int):
            listener.counted(answer)


def _answer_here(folder: RunFolder, answers: Iterator[tuple[Task, object]], listener: Listener) -> Iterator[PartInfo]:
    """The networks run in this process, on the GPU, on what the pool has read."""
    answerer = load_answerer(folder, GPU_DEVICE)
    open_lines: dict[int, tuple[int, Lines]] = {}
    for task, answer in answers:
        if task.chunk is None:
            assert isinstance(answer, int)
            listener.counted(answer)
            continue
        attempt, lines = open_lines.get(task.chunk.number, (0, Lines()))
        if attempt != task.attempt:  # what a lost process had sent is sent again
            lines = Lines()
        open_lines[task.chunk.number] = task.attempt, lines
        if isinstance(answer, Piece):
            lines.extend(answerer.answer(answer.content))
        else:
            del open_lines[task.chunk.number]
            yield write_chunk(folder, task.chunk, lines)
