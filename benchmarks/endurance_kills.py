"""What goes wrong while the service is used: which process dies or stops when, the same for the same seed."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from benchmarks.endurance_stack import Stack

TARGET_PATIENCE_S = 60.0
"""How long a kill waits for a process that it can be done to: a job may just have ended."""
FIRST_AFTER, LAST_BEFORE = 0.05, 0.95
"""Shares of the run without kills at its ends."""


@dataclass(frozen=True, slots=True)
class Planned:
    at_s: float
    kind: str


@dataclass(frozen=True, slots=True)
class Kill:
    """`at` as `time.monotonic`."""

    at: float
    kind: str
    what: str


def plan(seed: int, seconds: float, n_kills: int, kinds: Sequence[str]) -> list[Planned]:
    """Evenly spread with some jitter; every kind once before any comes again."""
    rng = random.Random(seed)
    order: list[str] = []
    while len(order) < n_kills:
        order += rng.sample(list(kinds), len(kinds))
    first, last = FIRST_AFTER * seconds, LAST_BEFORE * seconds
    gap = (last - first) / max(n_kills, 1)
    return [Planned(first + (i + rng.uniform(0.1, 0.9)) * gap, kind) for i, kind in enumerate(order[:n_kills])]


class Killer:
    """A thread that does what was planned. `done` holds what was done, `missed` what found no target."""

    def __init__(self, stack: Stack, plan: Sequence[Planned], freeze_s: float, make_job: Callable[[], None]) -> None:
        """`make_job` is called where a job is to be hit and none is at work."""
        self.done: list[Kill] = []
        self.missed: list[Planned] = []
        self._stack = stack
        self._plan = plan
        self._freeze_s = freeze_s
        self._make_job = make_job
        self._stop = threading.Event()
        self._thaws: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, args=(time.monotonic(),), name="killer")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No further kill; what is stopped goes on."""
        self._stop.set()
        for thread in (self._thread, *self._thaws):
            thread.join()

    def never_done(self) -> set[str]:
        """Kinds that were planned and never found a target."""
        return {each.kind for each in self.missed} - {kill.kind for kill in self.done}

    def _run(self, started: float) -> None:
        for planned in self._plan:
            if self._stop.wait(max(0.0, started + planned.at_s - time.monotonic())):
                return
            deadline = time.monotonic() + TARGET_PATIENCE_S
            what = self._do(planned.kind)
            if not what and planned.kind in KILLS_OF_JOBS:
                self._make_job()
            while not what and time.monotonic() < deadline and not self._stop.wait(0.2):
                what = self._do(planned.kind)
            if what:
                self.done.append(Kill(time.monotonic(), planned.kind, what))
            else:
                self.missed.append(planned)

    def _do(self, kind: str) -> str:
        with suppress(psutil.NoSuchProcess):
            return KINDS[kind](self)
        return ""

    def kill(self, kind: str) -> str:
        """The youngest of a kind, so that one API process lives through the whole run."""
        found = self._stack.of_kind(kind)
        if not found:
            return ""
        found[-1].kill()
        return f"SIGKILL of {'the' if len(found) == 1 else 'a'} process of kind {kind!r}"

    def kill_compute(self) -> str:
        """That of the youngest API process, for the same reason."""
        api = self._stack.of_kind("api")
        of_youngest = [p for p in self._stack.of_kind("compute") if api and p.ppid() == api[-1].pid]
        if not of_youngest:
            return ""
        of_youngest[-1].kill()
        return "SIGKILL of the compute process of an API process"

    def freeze_worker(self) -> str:
        """The whole worker with its job; when it wakes, its lease is lost."""
        found = [p for kind in ("worker", "worker pool", "job") for p in self._stack.of_kind(kind)]
        if not self._stack.of_kind("job"):
            return ""
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        thaw = threading.Thread(target=self._thaw, args=(found,), name="thaw")
        self._thaws.append(thaw)
        thaw.start()
        return f"SIGSTOP of the worker and its job, SIGCONT after {self._freeze_s:g} s"

    def _thaw(self, processes: Sequence[psutil.Process]) -> None:
        self._stop.wait(self._freeze_s)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


KINDS: dict[str, Callable[[Killer], str]] = {
    "API process": lambda killer: killer.kill("api"),
    "compute process": Killer.kill_compute,
    "reading process": lambda killer: killer.kill("reader"),
    "worker": lambda killer: killer.kill("worker"),
    "process of a job": lambda killer: killer.kill("job"),
    "broker": lambda killer: killer.kill("broker"),
    "worker frozen": Killer.freeze_worker,
}
KILLS_OF_JOBS = ("worker", "process of a job", "worker frozen")
"""Each costs the job at work an attempt; one that loses as many as it may have fails."""
