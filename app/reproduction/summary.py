"""Stored results put in order: by target, line and column of the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from app.learning.tournament.evidence import corrected_p_value
from app.reproduction.protocols import Measure, Protocol, Target
from app.reproduction.statistics import Spread, paired_p, spread
from app.reproduction.store import Record, ResultStore, TestRows
from app.reproduction.trials import Places, SourceMissing, is_of_source_elsewhere, make_trial

Cell = tuple[str, bool]
"""Line of a table, and whether it is the strict one."""


class UnequalTestRows(ValueError):
    """Errors on different rows would be compared."""


@dataclass(frozen=True, slots=True)
class TargetResults:
    """What there is of a target: records by cell and seed; cells in the order of the target's systems."""

    target: Target
    cells: Mapping[Cell, Mapping[int, Record]]

    @property
    def lines(self) -> list[str]:
        return list(dict.fromkeys(line for line, _ in self.cells))

    def values(self, cell: Cell, measure: Measure, part: str = "test") -> dict[int, float]:
        """By seed; trials that failed have none."""
        found = {}
        for seed, record in self.cells.get(cell, {}).items():
            metrics = None if record.metrics is None else getattr(record.metrics, part)
            value = None if metrics is None else getattr(metrics, measure.key)
            if value is not None:
                found[seed] = float(value)
        return found

    def spread(self, cell: Cell, measure: Measure, part: str = "test") -> Spread | None:
        values = self.values(cell, measure, part)
        return spread(list(values.values())) if values else None

    def reference(self, cell: Cell, line: str) -> Cell:
        """What a cell is tested against: of a line that has a strict variant, a strict one against that."""
        has_strict = any(system.line == line and system.strict for system in self.target.systems)
        return line, cell[1] and has_strict

    def paired(self, cell: Cell, line: str, measure: Measure) -> tuple[list[float], list[float]]:
        """Values of both over the seeds that both have. Raises UnequalTestRows."""
        reference = self.reference(cell, line)
        mine, other = self.values(cell, measure), self.values(reference, measure)
        seeds = self._common(cell, reference, measure)
        return [mine[seed] for seed in seeds], [other[seed] for seed in seeds]

    def p_value(self, cell: Cell, line: str, measure: Measure) -> float | None:
        """Paired t-test; None of a line against itself. Trials on the same test rows count as one, their mean.

        Of folds, whose training rows overlap, the corrected resampled one. Raises UnequalTestRows.
        """
        reference = self.reference(cell, line)
        if reference == cell:
            return None
        mine, other = self.values(cell, measure), self.values(reference, measure)
        draws: dict[str, list[int]] = {}
        for seed in self._common(cell, reference, measure):
            draws.setdefault(str(self.cells[cell][seed].test_rows), []).append(seed)
        means = [[fmean(values[seed] for seed in seeds) for seeds in draws.values()] for values in (mine, other)]
        if self.target.is_cross_validation and len(draws) > 1:
            return corrected_p_value(np.array(means[0]), np.array(means[1]))
        return paired_p(*means)

    def _common(self, cell: Cell, reference: Cell, measure: Measure) -> list[int]:
        """Seeds that both have, on the same test rows."""
        mine, other = self.values(cell, measure), self.values(reference, measure)
        seeds = [seed for seed in mine if seed in other]
        for seed in seeds:
            records = self.cells[cell][seed], self.cells[reference][seed]
            if records[0].test_rows != records[1].test_rows:
                raise UnequalTestRows(
                    f"{self.target.name}, seed {seed}: {cell[0]} and {reference[0]} had other test rows"
                )
        return seeds

    def failures(self) -> list[str]:
        return [
            f"{self.target.name}, {line}, seed {seed}: {record.failure}"
            for (line, _), records in self.cells.items()
            for seed, record in records.items()
            if record.failure is not None
        ]


@dataclass(frozen=True, slots=True)
class Summary:
    """All targets of a protocol that have a result, their test rows, and what is not there yet.

    `missing` maps target and system to the trials there are and should be. `n_outdated` results have keys that no trial
    of the protocol has any more.
    """

    results: Sequence[TargetResults]
    test_rows: Mapping[str, TestRows]
    missing: Mapping[str, Mapping[str, tuple[int, int]]]
    n_outdated: int

    @property
    def records(self) -> list[Record]:
        return [r for result in self.results for records in result.cells.values() for r in records.values()]

    def of_series(self, series: str) -> list[TargetResults]:
        """The curve of error against size: fewest training rows first."""
        found = [result for result in self.results if result.target.series == series]
        return sorted(found, key=lambda result: result.target.n_train)


def summarise(protocol: Protocol, store: ResultStore, places: Places) -> Summary:
    """Results whose key is that of the protocol as it is now. Trials beyond a target's number count where they are."""
    stored = store.records()
    used: set[str] = set()
    results: list[TargetResults] = []
    missing: dict[str, dict[str, tuple[int, int]]] = {}
    for target in protocol.targets:
        cells: dict[Cell, dict[int, Record]] = {}
        for system in target.systems:
            try:
                seeds = range(max(target.n_trials, _largest_seed(stored, target.name) + 1))
                trials = [make_trial(protocol, target, system, seed, places) for seed in seeds]
                found = {trial.seed: stored[trial.key] for trial in trials if trial.key in stored}
            except SourceMissing:
                found = {
                    record.trial["seed"]: record
                    for record in stored.values()
                    if is_of_source_elsewhere(record.key, record.trial, protocol, target, system, places)
                }
            used.update(record.key for record in found.values())
            if found:
                cells[system.line, system.strict] = found
            if len(found) < target.n_trials:
                strict = ", strict" if system.strict else ""
                missing.setdefault(target.name, {})[system.line + strict] = len(found), target.n_trials
        if cells:
            results.append(TargetResults(target, cells))
    return Summary(results, store.test_rows(), missing, len(stored) - len(used))


def _largest_seed(stored: Mapping[str, Record], target: str) -> int:
    return max((record.trial["seed"] for record in stored.values() if record.trial["target"] == target), default=-1)
