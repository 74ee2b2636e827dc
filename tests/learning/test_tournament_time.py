"""What there is no time for is left out, and costs little time."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.core.errors import InvalidJob
from app.learning.baselines.search import VectorProblem, Watch
from app.learning.tournament import fitting
from app.learning.tournament.fitting import FloatArray, Pace, RegressorFits
from app.learning.tournament.kept import Decision, Kept, KeptFold
from app.learning.training.loop import TrainingEvent, TrainingStopped
from app.registry.manifest import InputKind
from tests.learning.tournaments import compete, quick

__all__ = ["quick"]


def _epoch(number: int, of: int) -> TrainingEvent:
    return TrainingEvent(number, of, 1.0, 1.0, 1.0, 0.001, 1.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(at=100.0)
    monkeypatch.setattr(fitting, "time", SimpleNamespace(monotonic=lambda: now.at))
    return now


def test_a_training_is_late_when_its_epochs_say_so(clock: SimpleNamespace) -> None:
    pace = Pace(end=200.0)
    assert not pace.is_late
    clock.at = 110.0
    pace.told(_epoch(1, 10))
    assert not pace.is_late  # 100 s for ten
    clock.at = 125.0
    pace.told(_epoch(2, 10))
    assert pace.is_late  # 12.5 s each by now: through at 225 s
    clock.at = 130.0
    pace.told(_epoch(3, 10))
    assert not pace.is_late
    clock.at = 200.5
    assert pace.is_late


def test_epochs_of_an_earlier_attempt_do_not_count(clock: SimpleNamespace) -> None:
    pace = Pace(end=200.0)
    clock.at = 130.0
    pace.told(_epoch(8, 10))
    assert not pace.is_late  # 30 s for one, two to go


@pytest.mark.usefixtures("quick")
def test_a_network_that_would_not_end_in_time_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "is_late", True)
    search = compete(tmp_path, InputKind.STRUCTURE).manifest.training.search
    assert search is not None
    left = {entrant["name"]: entrant["why"] for entrant in search["left_out"]}
    assert left["CGCNN from scratch"] == "would not have ended in time"
    assert search["winner"]["members"].keys().isdisjoint(left)


@pytest.mark.usefixtures("quick")
def test_a_learning_curve_begins_where_parts_can_be_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = RegressorFits.predict_from_part

    def few_cannot(fits: RegressorFits, number: int, share: float, watch: Watch) -> FloatArray:
        if share < 0.5 and number == 1:
            raise InvalidJob("Cross-validation needs at least 4 rows and 2 different formulas.")
        return fit(fits, number, share, watch)

    monkeypatch.setattr(RegressorFits, "predict_from_part", few_cannot)
    search = compete(tmp_path).manifest.training.search
    assert search is not None
    assert [point["n_train"] for point in search["learning_curve"]] == [13, 20, 27]


@pytest.mark.usefixtures("quick")
def test_whoever_stops_a_tournament_is_not_taken_for_want_of_time(tmp_path: Path) -> None:
    asked = iter([False] * 12)
    with pytest.raises(TrainingStopped):
        compete(tmp_path, InputKind.STRUCTURE, should_stop=lambda: next(asked, True))


@pytest.mark.usefixtures("quick")
def test_an_interrupted_tournament_goes_on_with_its_folds_and_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, fit = [0], VectorProblem.fit

    def counted(*given: Any) -> Any:
        fits[0] += 1
        return fit(*given)

    monkeypatch.setattr(VectorProblem, "fit", counted)
    whole = compete(tmp_path / "whole")
    n_fits, fits[0] = fits[0], 0
    asked = iter([False] * 5)
    with pytest.raises(TrainingStopped):
        compete(tmp_path / "parts", should_stop=lambda: next(asked, True))
    assert 2 <= fits[0] < n_fits
    (state,) = (tmp_path / "parts").glob("tournament-*")
    spent = json.loads((state / "spent.json").read_text())["seconds"]
    assert spent > 0
    ended = compete(tmp_path / "parts")
    assert fits[0] == n_fits, "a fold that had ended was fitted again"
    assert ended.weights == whole.weights
    assert ended.manifest.training.wall_s is not None and ended.manifest.training.wall_s >= round(spent, 1)


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    kept, predictions = Kept(tmp_path, "a run"), np.random.default_rng(0).normal(size=5)
    assert kept.spent_s == 0 and kept.fold("svr", 0) is None and kept.decisions() == {}
    kept.keep_fold("svr", 0, KeptFold(1.5, predictions, {"C": 10.0, "kernel": "rbf"}))
    kept.keep_fold("network", 0, KeptFold(2.5))
    kept.keep_decisions({"network": Decision(0.75), "other": Decision(left="behind")})
    kept.keep_spent(4.0)
    again = Kept(tmp_path, "a run")
    fold = again.fold("svr", 0)
    assert fold is not None and fold.predictions is not None
    assert fold.predictions.tolist() == predictions.tolist() and fold.chosen == {"C": 10.0, "kernel": "rbf"}
    assert again.fold("network", 0) == KeptFold(2.5) and again.spent_s == 4.0
    assert again.decisions() == {"network": Decision(0.75), "other": Decision(left="behind")}
    assert Kept(tmp_path, "another run").fold("svr", 0) is None and Kept(None).fold("svr", 0) is None
