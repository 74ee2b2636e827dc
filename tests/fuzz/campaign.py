"""Inputs by number: each follows from target, seed and number alone, so that a run can go on where it broke off."""

import json
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

import psutil

from tests.fuzz.seeds import Corpus
from tests.fuzz.targets import Feed

PHASES = "examples,coverage,fuzzing"
"""Of schemathesis. There is also `stateful`: what one call answers with (an id, a name) goes into the next."""

HANG_S = 5.0
BATCH = 5_000


@dataclass
class Batch:
    """Inputs `first` to `first + n`; seconds are those of the processor. Memory is at the end, MB."""

    target: str
    seed: int
    first: int
    n: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    slowest: int = 0
    rss_mb: float = 0.0
    findings: list[dict[str, object]] = field(default_factory=list)

    def line(self) -> str:
        return json.dumps(asdict(self))

    def took(self, number: int, seconds: float) -> None:
        self.n += 1
        self.seconds += seconds
        if seconds > self.slowest_s:
            self.slowest_s, self.slowest = seconds, number


class Hang(BaseException):
    """More than HANG_S of processor time. No Exception: no reader may take it for one of its own."""


def run_batch(target: str, feed: Feed, corpus: Corpus, seed: int, numbers: range, folder: Path) -> Batch:
    """Feed these inputs; what is refused wrongly is described in `findings` and lies in `folder`."""
    batch = Batch(target, seed, numbers.start)
    with _alarm(), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # numpy's, of numbers nobody looked at
        for number in numbers:
            data = corpus.input(number)
            start = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, HANG_S)
            try:
                feed(data)
            except (Exception, Hang) as error:  # noqa: BLE001 - what is being looked for
                batch.findings.append(finding(number, traceback.format_exception(error), data, folder / target))
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            batch.took(number, time.process_time() - start)
    batch.rss_mb = psutil.Process().memory_info().rss / 1e6
    return batch


def finding(number: int, lines: list[str], data: bytes, folder: Path) -> dict[str, object]:
    """The record of one; the input is written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{number}.bin").write_bytes(data)
    return {"input": number, "error": lines[-1].strip()[:300], "where": "".join(lines)[-1500:]}


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Hang(f"more than {HANG_S:g} s")

    before = signal.signal(signal.SIGPROF, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGPROF, before)
