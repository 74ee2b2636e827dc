"""Structures through the processes that read them for the API: graphs included, as a prediction has them read."""

import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.core.errors import InvalidInput, UnparsableStructure, XtalforgeError
from app.learning.graphs.settings import GraphSettings
from app.predictions.pool import FeaturisingPool
from app.predictions.tasks import Structures, TextTask
from app.structures.detect import decode_text
from tests.fuzz.campaign import HANG_S, Batch, finding
from tests.fuzz.seeds import Corpus

TOGETHER = 32
_SETTINGS = (GraphSettings(), GraphSettings(cutoff=6.0, n_neighbours=None))
"""Those of the CGCNN models, and a radius graph."""


@contextmanager
def reader_pool() -> Iterator[FeaturisingPool]:
    """One process; a structure that takes longer than HANG_S (of wall time) is given up with `structure_too_slow`."""
    pool = FeaturisingPool(1, HANG_S)
    pool.start()
    try:
        yield pool
    finally:
        pool.close()


def run_reader_batch(pool: FeaturisingPool, corpus: Corpus, seed: int, numbers: range, folder: Path) -> Batch:
    """As `run_batch`; a process that dies or hangs is a finding too, and each structure's graphs are made."""
    batch = Batch("readers", seed, numbers.start)
    for start in range(numbers.start, numbers.stop, TOGETHER):
        group = range(start, min(start + TOGETHER, numbers.stop))
        texts = {number: _text(corpus.input(number)) for number in group}
        asked = {number: TextTask(text, None, "a.cif", _SETTINGS) for number, text in texts.items() if text is not None}
        begun = time.perf_counter()
        answers = dict(zip(asked, pool.submit(list(asked.values())), strict=True)) if asked else {}
        for number in group:
            if number not in answers:
                batch.took(number, 0.0)
                continue
            # The process reads one after the other: since the last answer it was at this one.
            wait([answers[number]])
            ended = time.perf_counter()
            batch.took(number, ended - begun)
            begun = ended
            failure = answers[number].exception()
            wrong = [repr(failure)] if failure is not None else _wrong(answers[number].result())
            if wrong:
                batch.findings.append(finding(number, wrong, corpus.input(number), folder / "readers"))
    batch.rss_mb = sum(_rss_mb(child) for child in psutil.Process().children())
    return batch


def _text(data: bytes) -> str | None:
    try:
        return decode_text(data)
    except UnparsableStructure:
        return None


def _wrong(structures: Structures) -> list[str]:
    errors: list[XtalforgeError] = [s.error for s in structures if s.error is not None]
    errors += [g for s in structures for g in s.graphs if isinstance(g, XtalforgeError)]
    return [f"{type(error).__name__}: {error.detail}" for error in errors if not isinstance(error, InvalidInput)]


def _rss_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss / 1e6)
    except psutil.NoSuchProcess:
        return 0.0
