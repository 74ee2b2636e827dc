"""One run's contenders: which exist, which process each has, and what a measurement of one of them is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.harness import Measurement, Row, Worker, WorkerError, call_together, interleave
from benchmarks.peers.environment import peer_python, why_missing
from benchmarks.peers.files import Span
from benchmarks.peers.inputs import Inputs

OURS = "xtalforge"
UNMERGED = "xtalforge, atoms not merged"
CGCNN2 = "cgcnn2"
CHGNET = "chgnet"
MEGNET = "matgl MEGNet"
ALIGNN = "alignn"
PYMATGEN = "pymatgen"
ASE = "ase"

_PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    CGCNN2: ("cgcnn2", {}),
    CHGNET: ("chgnet", {}),
    MEGNET: ("megnet", {}),
    ALIGNN: ("alignn", {}),
    PYMATGEN: ("readers", {"package": "pymatgen"}),
    ASE: ("readers", {"package": "ase"}),
}


@dataclass(frozen=True)
class Sizes:
    """How much is done; `quick` is for tests and for looking whether everything runs."""

    train: int = 2000
    predict: int = 1000
    single: int = 200
    readers: int = 300
    others: int = 60
    batch: int = 64
    train_batch: int = 256
    rounds: int = 3
    epochs: int = 3
    series: tuple[int, ...] = (1, 3, 10, 30, 100, 300, 1000)
    largest_cell: int = 500


QUICK = Sizes(
    train=40, predict=20, single=5, readers=5, others=3, batch=8, train_batch=16, rounds=2, epochs=1, series=(1, 5),
    largest_cell=20,
)  # fmt: skip


@dataclass
class Bench:
    """Processes are started when first needed and live until the end of a part."""

    inputs: Inputs
    sizes: Sizes
    own_python: Path
    weights: Path
    with_peers: bool = True
    workers: dict[tuple[str, int], Worker] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)

    def start(self, name: str) -> Worker:
        """A new process of a contender. Raises WorkerError with the reason why there can be none."""
        if name in (OURS, UNMERGED):
            module, python = "xtalforge", self.own_python
            arguments: dict[str, Any] = {"merge": name == OURS}
        else:
            module, arguments = _PEERS[name]
            reason = why_missing(module) if self.with_peers else "left out (--no-peers)"
            if reason:
                raise WorkerError(reason)
            python = peer_python()
        if module in ("xtalforge", "cgcnn2"):
            arguments = arguments | {"weights": str(self.weights)}
        worker = Worker(name, python, f"benchmarks.peers.{module}", arguments)
        self.packages[name] = ", torch ".join(str(worker.about[k]) for k in ("package", "torch") if k in worker.about)
        return worker

    def worker(self, name: str, number: int = 0) -> Worker:
        """The process of a contender, or one of several. Raises WorkerError."""
        if name in self.broken:
            raise WorkerError(self.broken[name])
        if (name, number) not in self.workers:
            try:
                self.workers[name, number] = self.start(name)
            except WorkerError as error:
                self.broken[name] = str(error)
                raise
        return self.workers[name, number]

    def measurement(self, name: str, method: str, **arguments: Any) -> Measurement:
        return lambda: self.worker(name).call(method, **arguments)

    def in_processes(self, n: int, name: str, method: str, span: Span, **arguments: Any) -> Measurement:
        """The files of `span` shared out among `n` processes, which work at the same time."""

        def run() -> Mapping[str, Any]:
            start, stop, step = span
            shares = [{**arguments, "span": [start + i * step, stop, n * step]} for i in range(n)]
            return call_together([self.worker(name, i) for i in range(n)], method, shares)

        return run

    def run(self, entries: Sequence[tuple[Row, Measurement]], rounds: int | None = None) -> list[Row]:
        """Measure in interleaved rounds."""
        interleave(entries, rounds or self.sizes.rounds)
        return [row for row, _ in entries]

    def warm_up(self, names: Sequence[str], method: str, folder: str, number: int = 0, **arguments: Any) -> None:
        """First calls pay for imports and caches that later ones find."""
        for name in names:
            try:
                self.worker(name, number).call(method, folder=folder, span=[0, 4, 1], **arguments)
            except WorkerError as error:
                self.broken.setdefault(name, str(error))

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
