"""Who plays, who goes on, who is left out and why."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import InvalidJob
from app.learning.baselines.families import Family, Parameters
from app.learning.baselines.search import Watch
from app.learning.descriptors.catalogue import Descriptor
from app.learning.methods import Method
from app.learning.tournament.entrants import (
    MAX_KERNEL_ROWS,
    NetworkEntrant,
    RegressorEntrant,
    networks,
    regressors,
    usable_sources,
)
from app.learning.tournament.fitting import Course, RegressorFits
from app.learning.tournament.rounds import MAX_NETWORKS, Standing, Tournament
from app.learning.training.loop import TrainingDiverged, TrainingStopped
from app.learning.transfer import Base
from app.registry.manifest import Architecture, InputKind
from tests.learning.tournaments import PLENTY, Constant, OneChoice, open_course, quick_regressors, source_model

NETWORK = NetworkEntrant("network", Method.SCRATCH, Architecture.CGCNN, None)


@dataclass(frozen=True, slots=True)
class Diverging(RegressorEntrant):
    def candidates(self, n_features: int) -> list[Parameters]:
        raise TrainingDiverged("The model gives no finite value.")


@dataclass
class OffBy:
    """Stands in for the training of a network: its predictions are wrong by as much on every row."""

    course: Course
    error: float
    folds: list[int]
    share: float = 1.0

    def shorten(self, share: float) -> None:
        self.share = share

    def predict_fold(self, number: int, watch: Watch, end: float) -> np.ndarray:
        self.folds.append(number)
        return self.course.transformed[self.course.folds[number][1]] + self.error


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return open_course(tmp_path_factory.mktemp("course"))


def play(
    course: Course,
    entrants: list[RegressorEntrant],
    network_errors: tuple[float, ...] = (),
    max_seconds: float = PLENTY,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, Standing], list[OffBy], list[str]]:
    told: list[str] = []
    named = [replace(NETWORK, name=f"network {number}") for number in range(len(network_errors))]
    tournament = Tournament(
        course, entrants, named, max_seconds, 1, lambda done, total, text: told.append(text), should_stop
    )
    stand_ins = [OffBy(course, error, []) for error in network_errors]
    for standing, stand_in in zip(tournament.networks, stand_ins, strict=True):
        standing.fits = stand_in  # type: ignore[assignment]
    return {standing.entrant.name: standing for standing in tournament.play()}, stand_ins, told


def play_schemes(course: Course, base: Base, errors: dict[str, float]) -> tuple[dict[str, Standing], dict[str, OffBy]]:
    """Two sources, each with one more scheme that comes after it."""
    named = [NetworkEntrant(name, Method.FINE_TUNE, Architecture.CGCNN, base) for name in ("a", "b")]
    named += [replace(each, name=f"{each.name}, frozen", after=each.name) for each in named]
    tournament = Tournament(course, [FOREST], [NETWORK, *named], PLENTY, 1, lambda *_: None, lambda: False)
    stand_ins = {}
    for standing in tournament.networks:
        stand_ins[standing.entrant.name] = OffBy(course, errors[standing.entrant.name], [])
        standing.fits = stand_ins[standing.entrant.name]  # type: ignore[assignment]
    return {standing.entrant.name: standing for standing in tournament.play()}, stand_ins


FOREST = OneChoice("forest", Family.RANDOM_FOREST, Descriptor.PHYSICAL_ATTRIBUTES, is_cheap=True)
SVR = OneChoice("svr", Family.SVR, Descriptor.PHYSICAL_ATTRIBUTES)


def test_everybody_predicts_every_row_that_was_held_out_once(course: Course) -> None:
    found, _, told = play(course, [FOREST, SVR])
    for standing in found.values():
        assert standing.is_complete and standing.folds_done == 3 and len(standing.fold_seconds) == 3
        assert np.abs(standing.predictions - course.transformed).mean() < course.transformed.std()
    assert sorted(told) == [f"{name}, fold {number}" for name in ("forest", "svr") for number in (1, 2, 3)]
    held_out = np.concatenate([rows for _, rows in course.folds])
    np.testing.assert_array_equal(np.sort(held_out), np.arange(40))
    for train, rows in course.folds:
        assert not {course.formulas[row] for row in train} & {course.formulas[row] for row in rows}


def test_rows_of_a_fold_take_no_part_in_its_predictions(course: Course) -> None:
    """Absurd labels of the rows that are held out leave the predictions of these rows as they are."""
    number = 1
    held_out = course.folds[number][1]
    absurd = course.transformed.copy()
    absurd[held_out] = 1e12
    for entrant in (FOREST, SVR):
        same = play(course, [replace(entrant, is_cheap=True)])[0][entrant.name].predictions
        other = play(replace(course, transformed=absurd), [replace(entrant, is_cheap=True)])[0][entrant.name]
        np.testing.assert_array_equal(other.predictions[held_out], same[held_out])
        assert not np.array_equal(other.predictions, same)


def test_without_time_the_simplest_plays_and_the_others_are_said_to_be_left_out(course: Course) -> None:
    found, stand_ins, _ = play(course, [FOREST, replace(FOREST, name="second"), SVR], (0.1,), max_seconds=0.0)
    assert found["forest"].is_complete
    assert {name: s.left for name, s in found.items() if not s.is_complete} == {
        "second": "no time was left", "svr": "no time was left", "network 0": "no time was left",
    }  # fmt: skip
    assert stand_ins[0].folds == []


def test_regressors_end_before_networks_begin_so_that_a_short_time_leaves_the_strongest(course: Course) -> None:
    told = play(course, [FOREST, SVR], (0.01,))[2]
    assert [text.startswith("network") for text in told] == [False] * 6 + [True] * 3


def test_who_is_far_behind_does_not_go_on(course: Course) -> None:
    hopeless = Constant("constant", Family.SVR, Descriptor.PHYSICAL_ATTRIBUTES)
    found, stand_ins, _ = play(course, [FOREST, SVR, hopeless], (0.01, 50.0))
    assert found["constant"].left == "far behind in the first fold" and found["constant"].folds_done == 1
    assert stand_ins[0].folds == [0, 1, 2] and stand_ins[1].folds == [0]


def test_the_best_networks_go_on(course: Course) -> None:
    found, stand_ins, _ = play(course, [FOREST], (0.013, 0.011, 0.012, 0.014))
    going_on = [number for number, stand_in in enumerate(stand_ins) if stand_in.folds == [0, 1, 2]]
    assert going_on == [1, 2] and len(going_on) == MAX_NETWORKS
    assert found["network 0"].left == "behind other networks in the first fold"
    assert not found["network 3"].is_complete


def test_only_the_best_source_is_tried_with_layers_frozen(course: Course, tmp_path: Path) -> None:
    base = source_model(tmp_path, InputKind.STRUCTURE)
    errors = {"network": 0.5, "a": 0.02, "b": 0.012, "a, frozen": 0.0, "b, frozen": 0.011}
    found, stand_ins = play_schemes(course, base, errors)
    assert stand_ins["a, frozen"].folds == []
    assert found["a, frozen"].left == "another source was better in the first fold"
    assert [name for name, stand_in in stand_ins.items() if stand_in.folds == [0, 1, 2]] == ["b", "b, frozen"]


@pytest.mark.parametrize(
    ("max_seconds", "shares", "left"),
    [
        (121.0, [1.0], [""]),
        (100.0, [0.75], [""]),
        (80.0, [1.0], ["needs about 80 s more, and 40 s were left"]),
        (241.0, [1.0, 1.0], ["", ""]),
        (200.0, [0.75, 0.75], ["", ""]),
        (160.0, [1.0, 1.0], ["", "needs about 80 s more, and 80 s were left for it and a better one"]),
        (139.0, [0.7375, 1.0], ["", "needs about 80 s more, and 59 s were left for it and a better one"]),
    ],
)
def test_networks_have_fewer_epochs_or_are_fewer_where_the_time_is_short(
    course: Course, monkeypatch: pytest.MonkeyPatch, max_seconds: float, shares: list[float], left: list[str]
) -> None:
    """A fold takes 40 s here, of three folds; the forest takes none."""
    clock = [0.0]
    monkeypatch.setattr("app.learning.tournament.rounds.time.monotonic", lambda: clock[0])
    original = OffBy.predict_fold

    def slow(self: OffBy, number: int, watch: Watch, end: float) -> np.ndarray:
        clock[0] += 40.0 * self.share
        return original(self, number, watch, end)

    monkeypatch.setattr(OffBy, "predict_fold", slow)
    errors = (0.01, 0.012)[: len(shares)]
    found, stand_ins, _ = play(course, [FOREST], errors, max_seconds=max_seconds)
    assert [found[f"network {number}"].left for number in range(len(shares))] == left
    assert [stand_in.share for stand_in in stand_ins] == pytest.approx(shares)
    assert [stand_in.folds for stand_in in stand_ins] == [[0] if reason else [0, 1, 2] for reason in left]
    assert clock[0] <= max_seconds


def test_networks_leave_time_for_the_winners_fits(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("app.learning.tournament.rounds.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(OffBy, "predict_fold", _taking(clock, 10.0, OffBy.predict_fold))
    monkeypatch.setattr(RegressorFits, "predict_fold", _taking(clock, 5.0, RegressorFits.predict_fold))
    found, stand_ins, _ = play(course, [FOREST], (0.01,), max_seconds=50.0)
    # 25 s were left, of which two more fits of the forest need 10.
    assert found["network 0"].is_complete and stand_ins[0].share == pytest.approx(0.75)


def _taking(clock: list[float], seconds: float, method: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def slow(self: object, number: int, watch: Watch, end: float) -> np.ndarray:
        clock[0] += seconds
        return method(self, number, watch, end)

    return slow


def test_who_fails_is_left_out_with_the_reason(course: Course) -> None:
    failing = Diverging("failing", Family.SVR, Descriptor.PHYSICAL_ATTRIBUTES)
    found, _, _ = play(course, [FOREST, failing])
    assert found["forest"].is_complete
    assert found["failing"].left == "failed: The model gives no finite value."


def test_when_no_simple_one_can_be_fitted_the_run_ends_with_the_reason(course: Course) -> None:
    failing = Diverging("failing", Family.SVR, Descriptor.PHYSICAL_ATTRIBUTES, is_cheap=True)
    with pytest.raises(InvalidJob, match="no finite value"):
        play(course, [failing, SVR])


@pytest.mark.parametrize("calls", [0, 1, 4])
def test_a_tournament_can_be_stopped_between_fits(course: Course, calls: int) -> None:
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > calls

    with pytest.raises(TrainingStopped):
        play(course, [FOREST, SVR], should_stop=should_stop)
    assert len(asked) == calls + 1


def test_entrants_fit_data_and_sources(tmp_path: Path) -> None:
    structure, composition = InputKind.STRUCTURE, InputKind.COMPOSITION
    graph, elements = source_model(tmp_path / "a", structure), source_model(tmp_path / "b", composition)
    assert [reads for _, reads in usable_sources(structure, [graph, elements])] == ["graph"]
    assert [reads for _, reads in usable_sources(composition, [graph, elements])] == ["elemental_fractions"]
    attributes = source_model(tmp_path / "c", composition, features="physical_attributes")
    assert [reads for _, reads in usable_sources(composition, [attributes])] == ["physical_attributes"]
    assert usable_sources(structure, [attributes]) == []
    found = networks(structure, [graph, elements])
    assert [each.method for each in found] == [Method.SCRATCH, Method.FINE_TUNE, Method.FREEZE_EARLY, Method.FREEZE]
    assert [each.after for each in found] == [None, None, "source fine-tuned", "source fine-tuned"]
    assert networks(composition, [elements]) == [], "five of that size would make a model of 90 MB"
    small = source_model(tmp_path / "d", composition, name="small", widths=[16, 8])
    (tuned,) = networks(composition, [elements, small, graph])
    assert (tuned.name, tuned.method, tuned.reads) == ("small fine-tuned", Method.FINE_TUNE, "elemental_fractions")
    for kind in (structure, composition):
        plain, sourced = (regressors(kind, 500, has_sources=has) for has in (False, True))
        assert not any(each.with_sources or each.with_embeddings for each in plain)
        assert any(each.with_sources for each in sourced) and any(each.with_embeddings for each in sourced)
        assert plain[0].is_cheap and plain[0].family is Family.RANDOM_FOREST
        many = regressors(kind, MAX_KERNEL_ROWS + 1, has_sources=True)
        assert many and all(each.family is not Family.SVR for each in many)
        names = [each.name for each in quick_regressors(kind, 500, has_sources=True)]
        assert len(set(names)) == len(names)
