"""Why a candidate is where it is, in words."""

from collections.abc import Sequence

from app.bulk.spec import ModelUse
from app.properties.catalogue import property_label
from app.screening.predicted import Predicted
from app.screening.ranking import STATUSES, Ranked, Status
from app.screening.scoring import Scores
from app.screening.wish import Constraint, RankBy, ScreeningWish


class Teller:
    """Tells of the candidates of one screening."""

    def __init__(
        self, found: Predicted, scores: Scores, ranked: Ranked, models: Sequence[ModelUse], wish: ScreeningWish
    ) -> None:
        self._found = found
        self._scores = scores
        self._ranked = ranked
        self._wish = wish
        self._keys = [use.property for use in models]
        self._units = {use.property: "" if use.unit == "1" else f" {use.unit}" for use in models}

    def reason(self, row: int) -> str:
        status = STATUSES[self._ranked.statuses[row]]
        if status in (Status.FILTERED, Status.ERROR):
            return self._found.details[row] or "a model gives no value"
        if status is Status.OUT_OF_DOMAIN:
            outside = [
                property_label(key)
                for key, inside in zip(self._keys, self._found.in_domain[row], strict=True)
                if inside == 0
            ]
            return f"unlike the training data of the model of {', '.join(outside)}"
        if status is Status.FAILED_CONSTRAINTS:
            return self._failure(row)
        merit = self._merit(row)
        if status is Status.SELECTED:
            return merit
        return f"{merit}; {'alike or less good' if self._wish.diverse else 'others are better'}"

    def _failure(self, row: int) -> str:
        """The constraint that is likeliest to be missed first."""
        chances = self._scores.probabilities[row]
        told = [
            f"{self._value(row, c.property)}, wanted {self._wanted(c)} (probability {_percent(chances[place])})"
            for place, c in sorted(enumerate(self._wish.constraints), key=lambda entry: float(chances[entry[0]]))
            if chances[place] < 0.5 or len(self._wish.constraints) == 1
        ]
        if told:
            return "; ".join(told)
        joint = _percent(self._scores.joint[row])
        return f"each constraint is likelier met than not, all of them only with probability {joint}"

    def _merit(self, row: int) -> str:
        told = []
        if self._wish.ranking is RankBy.PARETO:
            told.append(f"front {self._ranked.fronts[row]}")
        for place, objective in enumerate(self._wish.objectives):
            label = property_label(objective.property)
            expected = f"{self._scores.expected[row, place]:.4g}{self._units[objective.property]}"
            if objective.target is None:
                told.append(f"expected {label} {expected}")
            else:
                told.append(f"{label} expected {expected} from {objective.target:g}")
        if self._wish.constraints:
            told.append(f"meets the constraints with probability {_percent(self._scores.joint[row])}")
        return "; ".join(told) or "has a value for each property"

    def _value(self, row: int, key: str) -> str:
        return f"{property_label(key)} {self._found.values[row, self._keys.index(key)]:.4g}{self._units[key]}"

    def _wanted(self, constraint: Constraint) -> str:
        unit = self._units[constraint.property]
        if constraint.at_most is None:
            return f"at least {constraint.at_least:g}{unit}"
        if constraint.at_least is None:
            return f"at most {constraint.at_most:g}{unit}"
        return f"{constraint.at_least:g} to {constraint.at_most:g}{unit}"


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f}%"
