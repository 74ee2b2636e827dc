"""Why a candidate is suggested, in words; what scores mean."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.learning.acquisition.cover import Centre
from app.learning.acquisition.pool import Pool
from app.learning.acquisition.ranking import Pick
from app.learning.acquisition.strategy import Strategy
from app.learning.acquisition.target import Target
from app.properties.catalogue import Transform
from app.registry.manifest import PropertyRecord


@dataclass(frozen=True, slots=True)
class Teller:
    """Of picks from a pool whose candidates are called `ids`."""

    pool: Pool
    ids: Sequence[str]
    record: PropertyRecord
    strategy: Strategy
    target: Target | None

    def meaning(self) -> str:
        """What a score of the strategy is."""
        if self.strategy is Strategy.UNCERTAINTY:
            return f"expected absolute error, in {self._learned_unit}"
        if self.strategy is Strategy.DIVERSITY:
            return (
                "distance from the nearest training row or earlier suggestion, in the representation of the model, in "
                "spreads of its training data"
            )
        if self.strategy is Strategy.BATCH:
            return (
                "share of the candidates' summed squares of expected error x distance from the nearest row with a "
                "label that this suggestion takes away"
            )
        if self.target is not None and self.target.optimum is not None:
            return f"expected improvement on the best of the training labels, in {self._learned_unit}"
        return "probability that the target is met"

    def reason(self, pick: Pick) -> str:
        error = f"expected error {self._error(float(self.pool.expected_errors[pick.candidate]))}"
        if self.strategy is Strategy.TARGET:
            return f"{self._promise(pick)}; {error}"
        if self.strategy is Strategy.UNCERTAINTY:
            return f"{error}, {self._beside_others(pick)}"
        assert pick.nearest is not None
        near = f"the nearest row with a label is {self._named(pick.nearest)}, {pick.nearest.distance:.2g} spreads away"
        if self.strategy is Strategy.DIVERSITY:
            return near
        return f"speaks for {pick.speaks_for} of {len(self.pool)} candidates; {error}; {near}"

    def _beside_others(self, pick: Pick) -> str:
        errors = sorted(self.pool.expected_errors.tolist())
        if errors[0] == errors[-1]:
            novelty = self.pool.novelty[pick.candidate]
            return f"as of every candidate; {novelty:.2g} of the distance at which the model's domain ends"
        return f"{pick.score / errors[len(errors) // 2]:.2g} times the median of the candidates"

    def _promise(self, pick: Pick) -> str:
        assert self.target is not None
        if self.target.optimum is not None:
            step = f"{pick.score:.2g} {self._learned_unit}"
            return f"expected to improve on the {self.target.optimum.value} training label by {step} on average"
        bounds = [
            f"{word} {bound:g}{self._unit}"
            for word, bound in (("above", self.target.above), ("below", self.target.below))
            if bound is not None
        ]
        return f"{' and '.join(bounds)} with a probability of {pick.score:.0%}"

    def _named(self, centre: Centre) -> str:
        if centre.candidate is not None:
            return f"suggestion {self.ids[centre.candidate]}"
        assert centre.reference is not None
        return f"training row {self.pool.trust.reference.formulas[centre.reference]}"

    def _error(self, error: float) -> str:
        if self.record.transform is Transform.LOG10:
            return f"a factor of {10**error:.3g}"
        return f"{error:.2g}{self._unit}"

    @property
    def _unit(self) -> str:
        return "" if self.record.unit == "1" else f" {self.record.unit}"

    @property
    def _learned_unit(self) -> str:
        unit = "the value itself" if self.record.unit == "1" else self.record.unit
        return f"log10({unit})" if self.record.transform is Transform.LOG10 else unit
