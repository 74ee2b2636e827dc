"""Tables and figures say what was measured, what was not, and refuse to compare what cannot be compared."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.learning.evaluation import split_metrics
from app.properties.catalogue import Transform
from app.registry.manifest import Coverage, Metrics
from app.reproduction.protocols import Protocol
from app.reproduction.report import write_report
from app.reproduction.store import Record, ResultStore, TestRows
from app.reproduction.summary import UnequalTestRows, summarise
from app.reproduction.trials import RULES, Places, Start, make_trial, trial_from
from tests.reproduction.tiny import make

COMMAND = ["xtalforge", "reproduce", "tiny"]
SCRATCH = {0: 0.5, 1: 0.6}
TRANSFER = {0: 0.3, 1: 0.4000001}
COVERAGE = {
    ("scratch", 0): Coverage(n=30, share=0.8, mean_width=1.0),
    ("scratch", 1): Coverage(n=10, share=1.0, mean_width=1.0),
    ("transfer", 0): Coverage(n=10, share=0.9, mean_width=1.0),
}


def put(store: ResultStore, protocol: Protocol, places: Places, line: str, maes: dict[int, float], rows: str) -> None:
    """Results as a run would leave them: every test row is off by the seed's error."""
    for target in protocol.targets:
        system = next(s for s in target.systems if s.line == line and not s.strict)
        for seed, mae in maes.items():
            trial = make_trial(protocol, target, system, seed, places)
            labels = np.linspace(-1, 1, 8)
            error = mae * math.sqrt(24 / target.n_train)
            metrics = split_metrics(labels, labels + error, Transform.IDENTITY, np.full(8, 2))
            store.add(
                Record(
                    key=trial.key, trial=trial.identity, metrics=Metrics(train=metrics, test=metrics),
                    test_rows=f"{rows}{seed}", coverage=COVERAGE.get((line, seed)),
                    wall_s=3.0, device="cpu", machine="a desk", versions={"torch": "9"},
                    at="2026-01-02T03:04:05+00:00",
                ),
                TestRows(labels, labels + error),
            )  # fmt: skip


@pytest.fixture
def both() -> Protocol:
    return make(quick=False)


@pytest.fixture
def report(both: Protocol, places: Places, store: ResultStore) -> str:
    put(store, both, places, "scratch", SCRATCH, "same")
    put(store, both, places, "transfer", TRANSFER, "same")
    return write_report(both, store, places, COMMAND).read_text()


def test_header_names_circumstances(report: str) -> None:
    for text in ("2026-01-02T03:04", "`xtalforge reproduce tiny`", "a desk", "torch 9", "seeds 0 to 1", "A note."):
        assert text in report


def test_table_has_the_papers_column_ours_and_p(report: str) -> None:
    assert "| scratch | 0.500 ± 0.100 | 0.550 ± 0.071 | - | - |" in report
    # Differences 0.2 and 0.1999999: t is huge, p tiny.
    line = next(line for line in report.splitlines() if line.startswith("| transfer |"))
    assert "| 0.350 ± 0.071 | - | **" in line


def test_coverage_is_over_all_test_rows_and_counts_trials_that_know_it(report: str) -> None:
    cells = {line.split(" | ")[0]: line.split(" | ")[-2] for line in report.splitlines() if line.startswith("| ")}
    assert (cells["| scratch"], cells["| transfer"]) == ("85.0%", "90.0% (1)")


def test_equivalent_size_of_the_transfer(report: str) -> None:
    # Scratch falls as 1 / sqrt(rows), so an error smaller by 0.35 / 0.55 is worth (0.55 / 0.35)^2 as many rows.
    size = round(24 * (0.55 / 0.35000005) ** 2)
    assert f"| 24-salts | transfer | scratch | 36.4 % | {size} | 24, 32 |" in report


def test_what_is_missing_is_named(report: str) -> None:
    assert "* 24-salts: none of `transfer, strict`, `pls`" in report
    assert "not on this machine: `xtalforge reproduce tiny --source strict`" in report


def test_figures_of_all_kinds_are_written(report: str, store: ResultStore) -> None:
    kinds = ("error against training size", "gain against training size", "parity", "error distribution", "chemical")
    drawn = sorted(path.name for path in store.folder.glob("*.png"))
    for kind in kinds:
        assert any(name.startswith(kind.replace(" ", "-")) for name in drawn), drawn
    assert all(f"]({name})" in report for name in drawn)
    assert all((store.folder / name).stat().st_size < 200_000 for name in drawn)


def test_few_trials_are_counted(both: Protocol, places: Places, store: ResultStore) -> None:
    put(store, both, places, "scratch", SCRATCH, "same")
    put(store, both, places, "transfer", {1: 0.3}, "same")
    report = write_report(both, store, places, COMMAND).read_text()
    assert "* 24-salts: transfer (1 of 2); none of `transfer, strict`, `pls`" in report
    assert "| transfer |  | 0.300 (1) | - | - |" in report


def test_a_report_without_trials(both: Protocol, places: Places, store: ResultStore) -> None:
    assert "No trial has been run yet." in write_report(both, store, places, COMMAND).read_text()


def test_results_from_a_source_that_is_on_another_machine_are_shown_unless_outdated(
    both: Protocol, places: Places, store: ResultStore
) -> None:
    put(store, both, places, "transfer", TRANSFER, "same")
    records = list(store.records().values())
    start = Start(is_same_property=True, source_sha256="0" * 64)
    for target in both.targets:
        strict = next(s for s in target.systems if s.strict)
        for seed, record in enumerate(r for r in records if r.trial["target"] == target.name):
            trial = trial_from(start, both, target, strict, seed, places)
            outdated = {**trial.identity, "rules": 0}
            store.add(record.model_copy(update={"key": trial.key, "trial": trial.identity}), None)
            store.add(record.model_copy(update={"key": f"old{target.name}{seed}", "trial": outdated}), None)
    summary = summarise(both, store, places)
    shown = summary.results[0].cells["transfer", True]
    assert [shown[seed].trial["rules"] for seed in (0, 1)] == [RULES, RULES]
    assert summary.n_outdated == 4
    report = write_report(both, store, places, COMMAND).read_text()
    assert "| transfer |  | 0.350 ± 0.071 | 0.350 ± 0.071 |" in report
    assert "not on this machine" in report


def test_strict_lines_are_compared_with_a_strict_reference(both: Protocol, places: Places, store: ResultStore) -> None:
    """As in a scan of hyperparameters of a strict transfer, where nothing else was run."""
    usual = replace(next(s for s in both.targets[0].systems if s.strict), line="usual")
    wider = replace(usual, line="wider", network={"hidden_dim": 256})
    target = replace(both.targets[0], systems=(usual, wider), references=("usual",), published={}, series="")
    scan = replace(both, targets=(target,))
    put(store, both, places, "scratch", SCRATCH, "same")
    found = [r for r in store.records().values() if r.trial["target"] == target.name]
    for system in (usual, wider):
        for seed, record in enumerate(found):
            trial = trial_from(Start(source_sha256="0" * 64), scan, target, system, seed, places)
            changes = {"key": trial.key, "trial": trial.identity}
            if system is wider:
                worse = record.metrics.test.model_copy(update={"mae": record.metrics.test.mae + 0.1 + 1e-6 * seed})
                changes["metrics"] = record.metrics.model_copy(update={"test": worse})
            store.add(record.model_copy(update=changes), None)
    report = write_report(scan, store, places, COMMAND).read_text()
    assert "| p against usual |" in report
    line = next(line for line in report.splitlines() if line.startswith("| wider |"))
    assert "*(worse)*" in line
    assert "| 24-salts | wider, strict | usual | -18.2 % | - | 24 |" in report


def test_unequal_test_rows_are_refused(both: Protocol, places: Places, store: ResultStore) -> None:
    put(store, both, places, "scratch", SCRATCH, "these")
    put(store, both, places, "transfer", TRANSFER, "those")
    with pytest.raises(UnequalTestRows, match="transfer and scratch"):
        write_report(both, store, places, COMMAND)


def test_results_of_other_data_are_not_shown(both: Protocol, places: Places, store: ResultStore) -> None:
    put(store, both, places, "scratch", SCRATCH, "same")
    kit = Path(str(places.kit) + "-other")
    kit.mkdir()
    (kit / "energies.txt").write_text("3.0")
    summary = summarise(both, store, Places(kit, places.models, places.work))
    assert not summary.results
    assert summary.n_outdated == 4
