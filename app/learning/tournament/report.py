"""What a tournament found: who is how good, what the winner is, and why."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidJob
from app.learning.baselines.search import Watch
from app.learning.targets import TargetMap
from app.learning.tournament.combining import combination_weights, nested_combination
from app.learning.tournament.entrants import RegressorEntrant
from app.learning.tournament.evidence import Comparison, compare, fold_errors
from app.learning.tournament.fitting import Course, RegressorFits
from app.learning.tournament.rounds import Standing
from app.registry.manifest import TargetScaling

FloatArray = npt.NDArray[np.float64]

CURVE_SHARES = (0.25, 0.5, 0.75)
_HALF = 0.51
COMBINATION = "combination"
MEDIAN = "answering the median"
_NOTICEABLE = 0.01


@dataclass(frozen=True, slots=True)
class Findings:
    """Complete standings from the best to the worst, and what combining them gives.

    `weights` (M,) of the complete ones; `combined` (n,) are predictions of rows whose fold had no say in the weights.
    `known` are those (n,), on the transformed scale, of pretrained models of the very same property, by name.
    """

    course: Course
    complete: Sequence[Standing]
    others: Sequence[Standing]
    weights: FloatArray
    combined: FloatArray
    sources: Sequence[str]
    known: Mapping[str, FloatArray]

    @classmethod
    def of(
        cls, course: Course, standings: Sequence[Standing], sources: Sequence[str], known: Mapping[str, FloatArray]
    ) -> "Findings":
        labels = course.transformed
        complete = [standing for standing in standings if standing.is_complete]
        complete.sort(key=lambda standing: float(np.abs(standing.predictions - labels).mean()))
        others = [standing for standing in standings if not standing.is_complete]
        predictions = np.stack([standing.predictions for standing in complete], axis=1)
        weights = combination_weights(predictions, labels)
        combined = nested_combination(predictions, labels, course.fold_of)
        return cls(course, complete, others, weights, combined, sources, known)

    @property
    def is_combination(self) -> bool:
        """Whether the combination predicts unseen rows better than the best single entrant."""
        best = self.errors(self.complete[0].predictions).mean()
        return bool(self.errors(self.combined).mean() < best) and bool((self.weights > 0).sum() > 1)

    @property
    def winner(self) -> str:
        return COMBINATION if self.is_combination else self.complete[0].entrant.name

    @property
    def winning_predictions(self) -> FloatArray:
        """Out-of-fold predictions on the transformed scale, (n,)."""
        return self.combined if self.is_combination else self.complete[0].predictions

    def winners(self) -> list[tuple[Standing, float]]:
        """Who makes up the model, with weights that sum to 1."""
        if not self.is_combination:
            return [(self.complete[0], 1.0)]
        pairs = zip(self.complete, self.weights.tolist(), strict=True)
        return [(standing, weight) for standing, weight in pairs if weight > 0]

    def errors(self, predictions: FloatArray) -> FloatArray:
        """Absolute errors on the transformed scale, (n,)."""
        return np.abs(predictions - self.course.transformed)

    def against_cheap(self) -> Comparison:
        """The winner against the best of what anybody would try first."""
        cheap = next(s for s in self.complete if isinstance(s.entrant, RegressorEntrant) and s.entrant.is_cheap)
        return self.against_winner(cheap)

    def against_median(self) -> Comparison:
        """The winner against the same answer for all: the median of the rows that train. Of noise it is the best."""
        medians = np.empty_like(self.course.transformed)
        for train, held_out in self.course.folds:
            medians[held_out] = np.median(self.course.transformed[train])
        return self._compared(MEDIAN, medians)

    def against_known(self) -> Comparison | None:
        """The winner against the best of the models that predict the property already."""
        if not self.known:
            return None
        best = min(self.known, key=lambda name: float(self.errors(self.known[name]).mean()))
        return self._compared(best, self.known[best])

    def against_winner(self, standing: Standing) -> Comparison:
        return self._compared(standing.entrant.name, standing.predictions)

    def learning_curve(self, watch: Watch, end: float) -> list[dict[str, float]]:
        """Errors of the best regressor with less data, as far as there is time until `end` (monotonic clock).

        It begins where all parts of that size can be fitted: a small one may hold a single formula.
        """
        best = next(standing for standing in self.complete if isinstance(standing.fits, RegressorFits))
        assert isinstance(best.fits, RegressorFits)
        points: list[dict[str, float]] = []
        n_train = float(np.mean([train.shape[0] for train, _ in self.course.folds]))
        for share in CURVE_SHARES:
            predictions = np.empty_like(self.course.transformed)
            try:
                for number, (_, held_out) in enumerate(self.course.folds):
                    if time.monotonic() > end:
                        return points
                    predictions[held_out] = best.fits.predict_from_part(number, share, watch)
            except InvalidJob:
                continue
            points.append(self._point(round(share * n_train), predictions))
        return [*points, self._point(round(n_train), best.predictions)]

    def _point(self, n_train: int, predictions: FloatArray) -> dict[str, float]:
        return {
            "n_train": n_train,
            "mae_transformed": float(self.errors(predictions).mean()),
            "mae": self._mae(predictions),
        }

    def _mae(self, predictions: FloatArray) -> float:
        return float(self._physical_errors(predictions).mean())

    def _physical_errors(self, predictions: FloatArray) -> FloatArray:
        run = self.course.run
        target_map = TargetMap(run.spec.property.transform, TargetScaling(kind="none"))
        return np.abs(target_map.to_physical(predictions) - run.prepared.labels[self.course.rows])

    def _compared(self, other: str, predictions: FloatArray) -> Comparison:
        """The winner against these predictions."""
        errors = self.errors(self.winning_predictions)
        return compare(self.winner, errors, other, self.errors(predictions), self.course.fold_of, self.course.formulas)

    def row(self, standing: Standing, weight: float) -> dict[str, Any]:
        """One line of the report."""
        errors = self.errors(standing.predictions)
        against = self.against_winner(standing)
        return {
            "name": standing.entrant.name,
            "mae": self._mae(standing.predictions),
            "mae_transformed": float(errors.mean()),
            "fold_mae": fold_errors(self._physical_errors(standing.predictions), self.course.fold_of).tolist(),
            "p_against_winner": against.p_rows,
            "p_against_winner_folds": against.p_folds,
            "weight": weight,
            "seconds": round(standing.seconds, 1),
        }

    def winner_row(self) -> dict[str, Any]:
        predictions = self.winning_predictions
        return {
            "name": self.winner,
            "mae": self._mae(predictions),
            "mae_transformed": float(self.errors(predictions).mean()),
            "fold_mae": fold_errors(self._physical_errors(predictions), self.course.fold_of).tolist(),
            "members": {standing.entrant.name: weight for standing, weight in self.winners()},
        }


def described(findings: Findings, curve: list[dict[str, float]], seconds: float) -> dict[str, Any]:
    """The report, in JSON's types. Errors are of rows that their model had not seen, `mae` in the property's unit."""
    verdict, trivial, known = findings.against_cheap(), findings.against_median(), findings.against_known()
    is_better = all(each.is_better for each in (verdict, trivial, known) if each is not None)
    weights = findings.weights if findings.is_combination else np.eye(1, len(findings.complete))[0]
    return {
        "kind": "tournament",
        "n_rows": int(findings.course.rows.shape[0]),
        "n_folds": len(findings.course.folds),
        "winner": findings.winner_row(),
        "entrants": [findings.row(s, float(w)) for s, w in zip(findings.complete, weights, strict=True)],
        "left_out": [{"name": s.entrant.name, "why": s.left or "not finished"} for s in findings.others],
        "against_baseline": _compared_with(verdict),
        "against_median": _compared_with(trivial),
        "against_known": None if known is None else _compared_with(known),
        "is_better_than_baseline": is_better,
        "reason": " ".join(_reasons(findings, verdict, trivial, known, curve)),
        "sources": list(findings.sources),
        "learning_curve": curve,
        "seconds": round(seconds, 1),
    }


def _compared_with(comparison: Comparison) -> dict[str, Any]:
    return {
        "baseline": comparison.other,
        "gain": comparison.gain,
        "p_rows": comparison.p_rows,
        "p_folds": comparison.p_folds,
    }


def _reasons(
    findings: Findings,
    verdict: Comparison,
    trivial: Comparison,
    known: Comparison | None,
    curve: list[dict[str, float]],
) -> list[str]:
    """Sentences."""
    is_simple = verdict.name == verdict.other
    said = [f"{verdict.name} is a simple baseline itself: none was better." if is_simple else f"{verdict.text}."]
    if not trivial.is_better:
        said.append(f"{trivial.text}: nothing is shown to be learned from these inputs.")
    if known is not None:
        said.append(f"{known.text}, which predicts this property already.")
    if not verdict.is_better or not trivial.is_better:
        said.append("It is not shown to be better than the baseline: do not promote it on this evidence.")
    elif known is not None and not known.is_better:
        said.append("It is not shown to be better than that model: do not promote it on this evidence.")
    if findings.is_combination:
        said.append(f"{findings.against_winner(findings.complete[0]).text}, the best single entrant.")
    said += more_data(curve)
    return [f"{sentence[0].upper()}{sentence[1:]}" for sentence in said]


def more_data(curve: Sequence[Mapping[str, float]]) -> list[str]:
    """What the curve's second half promises, in one sentence; none where it was cut short before there were two."""
    whole = curve[-1] if curve else None
    halves = [point for point in curve if whole is not None and point["n_train"] <= _HALF * whole["n_train"]]
    if whole is None or not halves or whole["mae"] == 0:
        return []
    gain = 1.0 - whole["mae_transformed"] / halves[-1]["mae_transformed"]
    rows = f"From {halves[-1]['n_train']:.0f} to {whole['n_train']:.0f} training rows the best regressor's error"
    if gain < _NOTICEABLE:
        return [f"{rows} did not fall: more data of this kind would hardly help."]
    return [f"{rows} fell by {gain:.0%}: twice the data would help about as much again."]
