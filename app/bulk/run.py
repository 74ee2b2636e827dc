"""A whole run: rows in, one part for each chunk out, in any order, with bounded memory."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.bulk.chunks import cut
from app.bulk.folder import BulkRun, RunFolder
from app.bulk.inputs import read_rows
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


def run_bulk(folder: RunFolder, listener: Listener, should_stop: Callable[[], bool]) -> RunSize:
    """Answer every row that no part holds yet.

    Raises RunStopped, what `read_rows` raises, ArtifactCorrupt for a damaged model, ProcessesLost, and RuntimeError
    for an error inside a process.
    """
    run = folder.run()
    feeder = _Feeder(folder, run)
    is_gpu = has_gpu(run.device)
    with Pool(read_chunks if is_gpu else answer_chunks, folder.path, run.n_processes) as pool:
        answers = pool.run(feeder.tasks(), should_stop)
        for part in _answer_here(folder, answers, listener) if is_gpu else _answered(answers, listener):
            listener.finished(part)
        if should_stop():
            raise RunStopped
    return RunSize(feeder.n_rows, feeder.n_chunks)


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


class _Feeder:
    """Cuts the input into tasks, and knows its size when it is through."""

    def __init__(self, folder: RunFolder, run: BulkRun) -> None:
        self._folder, self._run = folder, run
        self.n_rows = 0
        self.n_chunks = 0

    def tasks(self) -> Iterator[Task]:
        run = self._run
        if run.input.n_rows is None:
            yield Task(None)
        rows = read_rows(self._folder.input_path(run), run.input, run.limits)
        for chunk in cut(rows, run.chunk_rows, run.chunk_characters):
            self.n_rows += len(chunk.rows)
            self.n_chunks += 1
            if chunk.number not in run.done and not self._folder.part_path(chunk.number).exists():
                yield Task(chunk)


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
