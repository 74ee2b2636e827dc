"""What every comparison needs: long-lived worker processes, interleaved rounds, medians with their spread.

A contender lives in a process of its own, started by the interpreter of its own environment, so packages that cannot be
installed together still take part in one run. The parent asks one contender at a time; the others wait without
using a core. Standard library only: any environment can import this module.
"""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent


class WorkerError(Exception):
    """A contender could not be started or could not do what it was asked; the text is the reason."""


class Worker:
    """A contender's process. One request at a time, answered in order; lines of JSON both ways."""

    def __init__(self, name: str, python: Path, contender: str, arguments: Mapping[str, Any]) -> None:
        """Start `contender`, a module with a class `Contender`, and wait until it has loaded. Raises WorkerError."""
        self.name = name
        # Threads that wait by spinning would take the cores from whichever process is being measured.
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.peers.worker", contender, json.dumps(dict(arguments))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            self.about: dict[str, Any] = self._answer()
        except WorkerError:
            self.close()
            raise

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """What the contender's `method` returns, with `wall_s` and `cpu_s` of the call. Raises WorkerError."""
        self.collect()
        return self.ask(method, **arguments)

    def collect(self) -> None:
        """Have what earlier calls left behind collected, so that no later one pays for it. Raises WorkerError."""
        self.ask("collect")

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """`call` without the collection before it."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps({"method": method, "arguments": arguments}) + "\n")
            stdin.flush()
        except BrokenPipeError:
            raise WorkerError(f"{self.name} has ended") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise WorkerError(f"{self.name} ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process; it ends by itself when its input does."""
        for pipe in (self._process.stdin, self._process.stdout):
            # What a dead process was to be told cannot be delivered any more.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def call_together(workers: Sequence[Worker], method: str, arguments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same method in several processes at once; `wall_s` is from the first request to the last answer.

    Raises WorkerError.
    """
    for worker in workers:
        worker.collect()
    with ThreadPoolExecutor(len(workers)) as pool:
        started = time.perf_counter()
        calls = [pool.submit(w.ask, method, **a) for w, a in zip(workers, arguments, strict=True)]
        answers = [call.result() for call in calls]
        wall = time.perf_counter() - started
    return {"wall_s": wall, "cpu_s": sum(float(answer["cpu_s"]) for answer in answers), "answers": answers}


@dataclass(frozen=True, slots=True)
class Spread:
    """A quantity over the rounds of one run."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Median, smallest and largest; at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(slots=True)
class Row:
    """One contender in one case.

    `rounds` holds the measured value of each round, in `unit`; smaller is better. Each round worked on `n_structures`.
    `why_missing` says why there are no rounds.
    """

    part: str
    case: str
    contender: str
    unit: str = "s"
    threads: int = 1
    processes: int = 1
    n_structures: int = 0
    x: float | None = None
    rounds: list[float] = field(default_factory=list)
    cpu_rounds: list[float] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    baseline: bool = False
    why_missing: str = ""

    @property
    def spread(self) -> Spread | None:
        return Spread.of(self.rounds) if self.rounds else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Row":
        return cls(**data)


def ratio(row: Row, baseline: Row) -> Spread | None:
    """How many times as fast as the baseline: median of the ratios of rounds that ran next to each other."""
    pairs = list(zip(baseline.rounds, row.rounds, strict=False))
    return Spread.of([theirs / ours for theirs, ours in pairs]) if pairs else None


Measurement = Callable[[], Mapping[str, Any]]
"""Does the work once; returns at least `wall_s` and `cpu_s`. The keys `value` (instead of `wall_s`) and `extra` are
taken over into the row."""


def interleave(entries: Sequence[tuple[Row, Measurement]], rounds: int) -> None:
    """Measure every entry once a round, every other round in the opposite order, and fill the rows.

    What fails is left out of the rounds that follow, with its reason in the row.
    """
    for number in range(rounds):
        for row, measure in entries if number % 2 == 0 else list(reversed(entries)):
            if row.why_missing:
                continue
            try:
                result = measure()
            except WorkerError as error:
                row.why_missing = str(error)
                row.rounds.clear()
                row.cpu_rounds.clear()
                continue
            row.rounds.append(float(result.get("value", result["wall_s"])))
            row.cpu_rounds.append(float(result["cpu_s"]))
            row.extra |= result.get("extra", {})


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system of this machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        values = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in values.items()}
        if "model name" in fields:
            return f"{fields['model name']} (family {fields.get('cpu family')}, model {fields.get('model')})"
    return platform.processor() or platform.machine()
