"""All trials that are wanted and not there yet: one after another, on several processes, or in groups on a GPU."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol as Interface

import torch

from app.core.processes import die_with_parent
from app.reproduction.execution import Bench, Result
from app.reproduction.protocols import Protocol, Target
from app.reproduction.store import ResultStore
from app.reproduction.trials import Places, SourceMissing, Trial, make_trial

MAX_TOGETHER = 10
"""Most trials that are trained side by side on a GPU."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which trials are wanted: targets whose names begin with, and lines whose names hold, one of the texts.

    No texts: all. Seeds are those below `trials`.
    """

    targets: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    trials: int | None = None

    def seeds(self, target: Target) -> range:
        n_trials = target.n_trials if self.trials is None else self.trials
        return range(min(n_trials, target.n_trials) if target.is_cross_validation else n_trials)

    def wants(self, target: Target, line: str) -> bool:
        begins = not self.targets or target.name.lower().startswith(tuple(text.lower() for text in self.targets))
        return begins and (not self.lines or any(text.lower() in line.lower() for text in self.lines))


class Meter(Interface):
    """What a run reports to."""

    def start(self, total: int) -> None: ...

    def say(self, text: str) -> None: ...

    def done(self, text: str) -> None: ...


def wanted_trials(protocol: Protocol, selection: Selection, places: Places) -> tuple[list[Trial], list[str]]:
    """Trials of a selection, target by target and seed by seed, and why some cannot be had (a missing source).

    Systems of one seed follow each other: what is paired is complete early, and rows are featurised once.
    """
    trials: list[Trial] = []
    missing: dict[str, None] = {}
    for target in protocol.targets:
        wanted = [system for system in target.systems if selection.wants(target, system.line)]
        for seed in selection.seeds(target):
            for system in wanted:
                try:
                    trials.append(make_trial(protocol, target, system, seed, places))
                except SourceMissing as reason:
                    missing[str(reason)] = None
    return trials, list(missing)


def run_trials(
    protocol: Protocol,
    trials: Sequence[Trial],
    store: ResultStore,
    places: Places,
    device: str,
    n_processes: int,
    meter: Meter,
) -> int:
    """Run what is not in the store yet and put each result there at once; how many were run.

    Interrupted, at most the trials at work are lost, and those go on from their last state.
    """
    stored = store.records()
    pending = [trial for trial in trials if trial.key not in stored]
    meter.start(len(pending))
    if not pending:
        return 0
    if device == "cuda":
        work = _in_groups(protocol, pending, store, places, device, meter)
    elif n_processes > 1:
        work = _on_processes(protocol, pending, store, places, n_processes)
    else:
        work = _one_by_one(protocol, pending, store, places, device, meter)
    for text in work:
        meter.done(text)
    return len(pending)


def _one_by_one(
    protocol: Protocol, pending: Sequence[Trial], store: ResultStore, places: Places, device: str, meter: Meter
) -> Iterator[str]:
    bench = Bench(protocol, places, device)
    for trial in pending:
        yield _keep(store, trial, bench.run(trial, meter.say))


def _in_groups(
    protocol: Protocol, pending: Sequence[Trial], store: ResultStore, places: Places, device: str, meter: Meter
) -> Iterator[str]:
    """Trials of one system side by side."""
    bench = Bench(protocol, places, device)
    groups: dict[tuple[str, str, bool], list[Trial]] = {}
    for trial in pending:
        groups.setdefault((trial.target.name, trial.system.line, trial.system.strict), []).append(trial)
    for group in groups.values():
        for first in range(0, len(group), MAX_TOGETHER):
            part = group[first : first + MAX_TOGETHER]
            results = bench.run_together(part, meter.say)
            for trial, result in zip(part, results, strict=True):
                yield _keep(store, trial, result)


def _on_processes(
    protocol: Protocol,
    pending: Sequence[Trial],
    store: ResultStore,
    places: Places,
    n_processes: int,
) -> Iterator[str]:
    """Processes of one thread each; this one alone writes. Ctrl-C ends them all."""
    context = multiprocessing.get_context("spawn")
    by_key = {trial.key: trial for trial in pending}
    executor = ProcessPoolExecutor(n_processes, context, _start_process, (os.getpid(), protocol, places))
    try:
        futures = [executor.submit(_run_one, trial) for trial in pending]
        for future in as_completed(futures):
            result = future.result()
            yield _keep(store, by_key[result[0].key], result)
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


_bench_of_process: Bench | None = None


def _start_process(parent: int, protocol: Protocol, places: Places) -> None:
    global _bench_of_process
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _bench_of_process = Bench(protocol, places)


def _run_one(trial: Trial) -> Result:
    assert _bench_of_process is not None
    return _bench_of_process.run(trial, lambda _: None)


def _keep(store: ResultStore, trial: Trial, result: Result) -> str:
    record, rows = result
    store.add(record, rows)
    if record.failure is not None or record.metrics is None or record.metrics.test is None:
        return f"{trial}: failed: {record.failure}"
    measure = trial.target.measures[0]
    value = getattr(record.metrics.test, measure.key)
    figure = f"{value:.{measure.decimals + 1}f} {measure.unit}".rstrip()
    return f"{trial}: {figure} ({record.wall_s:.0f} s)"
