"""Memory of the service's processes while it runs, and whether it grows."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import psutil
from scipy import stats

from benchmarks.endurance_stack import Stack

PERIOD_S = 5.0
BLOCK_S = 60.0
MIN_BLOCKS = 4
Array = npt.NDArray[np.float64]


@dataclass
class Life:
    """One process: proportional set size (shared pages divided among those that share them), MB, at times as
    `time.monotonic`."""

    kind: str
    pid: int
    at: list[float] = field(default_factory=list)
    pss_mb: list[float] = field(default_factory=list)


class Sampler:
    """A thread that looks at every process of a service every few seconds."""

    def __init__(self, stack: Stack, period_s: float = PERIOD_S) -> None:
        self._stack = stack
        self._period_s = period_s
        self._lives: dict[psutil.Process, Life] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    @property
    def lives(self) -> list[Life]:
        return list(self._lives.values())

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with suppress(psutil.NoSuchProcess):  # the supervisor itself
                self._look()
            if self._stop.wait(self._period_s):
                return

    def _look(self) -> None:
        for process, kind in self._stack.processes().items():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                pss = process.memory_full_info().pss / 1e6
                if pss == 0.0:  # it has just ended
                    continue
                life = self._lives.setdefault(process, Life(kind, process.pid))
                life.kind = kind  # right after its start a process has the command of what started it
                life.at.append(time.monotonic())
                life.pss_mb.append(pss)


@dataclass(frozen=True)
class Growth:
    """MB an hour of the processes of a kind, and the half width of its 95 % interval; None: too little to tell."""

    kind: str
    n_processes: int
    n_used: int
    largest_mb: float
    level_mb: float
    slope: float | None
    half_width: float | None

    @property
    def grows(self) -> bool | None:
        if self.slope is None or self.half_width is None:
            return None
        return self.slope - self.half_width > 0


def growth(lives: Iterable[Life], warm_up_s: float) -> list[Growth]:
    """By kind. The first `warm_up_s` of each process's life do not count: it loads what it needs."""
    by_kind: dict[str, list[Life]] = defaultdict(list)
    for life in lives:
        by_kind[life.kind].append(life)
    return [_growth(kind, group, warm_up_s) for kind, group in sorted(by_kind.items())]


def _growth(kind: str, lives: Sequence[Life], warm_up_s: float) -> Growth:
    blocks = [block for life in lives for block in _blocks(life, warm_up_s)]
    largest = max(max(life.pss_mb) for life in lives)
    n_used = len({number for number, _, _ in blocks})
    if len(blocks) < MIN_BLOCKS + n_used:
        every = np.concatenate([life.pss_mb for life in lives])
        return Growth(kind, len(lives), n_used, largest, float(np.median(every)), None, None)
    level = float(np.median(np.concatenate([mb for _, _, mb in blocks])))
    slope, half_width = slope_of(blocks)
    return Growth(kind, len(lives), n_used, largest, level, slope * 3600, half_width * 3600)


Block = tuple[int, Array, Array]
"""Number of the process, seconds, MB."""


def _blocks(life: Life, warm_up_s: float) -> list[Block]:
    at, mb = np.array(life.at), np.array(life.pss_mb)
    kept = at >= at[0] + warm_up_s
    at, mb = at[kept], mb[kept]
    if not len(at):
        return []
    number = ((at - at[0]) // BLOCK_S).astype(int)
    return [(id(life), at[number == n], mb[number == n]) for n in range(number[-1] + 1) if (number == n).sum() > 1]


def slope_of(blocks: Sequence[Block]) -> tuple[float, float]:
    """Slope common to all processes, each with a level of its own, and the half width of its 95 % interval.

    Samples that follow one another are alike, so the error comes from leaving out a minute at a time (jackknife).
    """
    n = len(blocks)
    whole = _slope(blocks)
    without = np.array([_slope([*blocks[:i], *blocks[i + 1 :]]) for i in range(n)])
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    return whole, error * float(stats.t.ppf(0.975, n - 1))


def _slope(blocks: Sequence[Block]) -> float:
    covariance = variance = 0.0
    for number in {number for number, _, _ in blocks}:
        at = np.concatenate([at for each, at, _ in blocks if each == number])
        mb = np.concatenate([mb for each, _, mb in blocks if each == number])
        at = at - at.mean()
        covariance += float(at @ (mb - mb.mean()))
        variance += float(at @ at)
    return covariance / variance
