"""From crystals and compositions with their graphs to values: the part of bulk work that needs torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.bulk.filtering import FILTERED_OUT, ElementFilter
from app.bulk.parts import Known, Lines
from app.bulk.reading import Entry, Problem
from app.core.errors import InputKindMismatch, XtalforgeError
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.packed import PackedGraphs
from app.learning.graphs.settings import GraphSettings
from app.learning.predictor import Estimate, NotANumber, Predictor
from app.learning.representations import ELEMENTAL_FRACTIONS
from app.learning.samples import GraphSamples, ModelInput, Samples, composition_key, make_samples
from app.predictions.answers import unseen_reason
from app.predictions.selection import SelectedModel, item_for, no_model_fits, unseen_elements
from app.structures.crystal import Crystal


@dataclass(frozen=True, slots=True)
class _Value:
    value: float
    known: Known


_Outcome = _Value | Problem
_NOT_A_NUMBER: Problem = (NotANumber.code, "The model gives no finite value for this input.")
_FAR = "far from the training data"


class Answerer:
    """The models of a run. Graphs that several of them need are packed once."""

    def __init__(
        self,
        models: Sequence[SelectedModel],
        predictors: Sequence[Predictor],
        settings: Sequence[GraphSettings],
        interval_level: float,
        elements: ElementFilter | None = None,
    ) -> None:
        """`settings` are those the entries' graphs were made with; what `elements` leaves out is not computed."""
        self._level = interval_level
        self._elements = elements
        self._models = models
        self._predictors = predictors
        self._settings = settings
        self._names = [
            (m.manifest.property.key, m.manifest.property.unit, m.version.model_name, m.version.version) for m in models
        ]

    def answer(self, entries: Sequence[Entry]) -> Lines:
        """One line for each entry and model that answers it, in their order; one error for an entry none takes."""
        entries = [self._filtered(entry) for entry in entries]
        items = [[self._item(model, entry) for entry in entries] for model in self._models]
        packed: dict[object, tuple[Samples, list[int]]] = {}
        outcomes = [self._outcomes(index, given, entries, packed) for index, given in enumerate(items)]
        lines = Lines()
        for place, entry in enumerate(entries):
            if entry.problem is not None or entry.item is None:
                problem = entry.problem or _NOT_A_NUMBER
                formula = composition_key(entry.item) if entry.item is not None else None
                lines.add_error(entry.row, entry.input_id, *problem, None, formula)
                continue
            formula = composition_key(entry.item)
            answers = [(i, outcome[place]) for i, outcome in enumerate(outcomes) if place in outcome]
            for index, answer in answers:
                self._add(lines, entry, index, items[index][place], answer, formula)
            if not answers:
                error = no_model_fits(entry.item, self._models)
                lines.add_error(entry.row, entry.input_id, error.code, error.detail, None, formula)
        return lines

    def _filtered(self, entry: Entry) -> Entry:
        if self._elements is None or entry.item is None:
            return entry
        symbols = entry.item.element_counts if isinstance(entry.item, Crystal) else entry.item.amounts
        reason = self._elements.reason_against(symbols)
        return entry if reason is None else replace(entry, problem=(FILTERED_OUT, reason))

    def _item(self, model: SelectedModel, entry: Entry) -> ModelInput | InputKindMismatch | None:
        return item_for(model, entry.item) if entry.item is not None and entry.problem is None else None

    def _add(
        self, lines: Lines, entry: Entry, index: int, item: ModelInput | InputKindMismatch | None, answer: _Outcome,
        formula: str,
    ) -> None:  # fmt: skip
        names = self._names[index]
        if not isinstance(answer, _Value):
            lines.add_error(entry.row, entry.input_id, *answer, names, formula)
            return
        assert item is not None and not isinstance(item, XtalforgeError)
        unseen = unseen_elements(self._models[index], item)
        known = answer.known
        reasons = [unseen_reason(unseen)] if unseen else [_FAR] if known.in_domain is False else []
        if unseen:
            known = replace(known, in_domain=False)
        lines.add_value(entry.row, entry.input_id, answer.value, names, known, [*reasons, *item.notes], formula)

    def _outcomes(
        self,
        index: int,
        given: Sequence[ModelInput | InputKindMismatch | None],
        entries: Sequence[Entry],
        packed: dict[object, tuple[Samples, list[int]]],
    ) -> dict[int, _Outcome]:
        """The model's value or problem by place; places it is not to answer are missing."""
        outcomes: dict[int, _Outcome] = {
            place: (item.code, item.detail) for place, item in enumerate(given) if isinstance(item, InputKindMismatch)
        }
        places = [
            place for place, item in enumerate(given) if item is not None and not isinstance(item, XtalforgeError)
        ]
        graph = self._models[index].graph
        if graph is not None:
            which = self._settings.index(graph)
            samples, places = self._graphs(which, places, entries, outcomes, packed)
        else:
            samples, places = _described(self._predictors[index], given, places, outcomes)
        if places:
            items = [given[place] for place in places]
            estimates = self._predictors[index].estimate_samples(samples, items)  # type: ignore[arg-type]
            outcomes.update(zip(places, self._known(index, estimates), strict=True))
        return outcomes

    def _known(self, index: int, estimates: Sequence[Estimate | NotANumber]) -> list[_Outcome]:
        """Values with their intervals, which are worked out all at once."""
        outcomes: list[_Outcome] = []
        trust = self._predictors[index].trust
        assessed = [e.assessment for e in estimates if isinstance(e, Estimate) and e.assessment is not None]
        ends = iter(trust.intervals(assessed, self._level) if trust is not None else ())
        for estimate in estimates:
            if isinstance(estimate, NotANumber):
                outcomes.append(_NOT_A_NUMBER)
                continue
            assessment = estimate.assessment
            if assessment is None:
                outcomes.append(_Value(estimate.value, Known()))
                continue
            lower, upper = next(ends)
            known = Known(lower, upper, assessment.in_domain, assessment.score, assessment.difficulty)
            outcomes.append(_Value(estimate.value, known))
        return outcomes

    def _graphs(
        self,
        which: int,
        places: Sequence[int],
        entries: Sequence[Entry],
        outcomes: dict[int, _Outcome],
        packed: dict[object, tuple[Samples, list[int]]],
    ) -> tuple[Samples, list[int]]:
        graphs: list[CrystalGraph] = []
        good: list[int] = []
        for place in places:
            graph = entries[place].graphs[which]
            if isinstance(graph, CrystalGraph):
                graphs.append(graph)
                good.append(place)
            else:
                outcomes[place] = graph
        # Every structure model is given the same crystals, so the settings alone say which graphs these are.
        if which not in packed and graphs:
            packed[which] = GraphSamples(PackedGraphs.pack(graphs)), good
        return packed.get(which, (make_samples([], ELEMENTAL_FRACTIONS)[0], []))


def _described(
    predictor: Predictor,
    given: Sequence[ModelInput | InputKindMismatch | None],
    places: Sequence[int],
    outcomes: dict[int, _Outcome],
) -> tuple[Samples, list[int]]:
    items = [item for item in (given[place] for place in places) if not isinstance(item, XtalforgeError | None)]
    samples, errors = predictor.featurise(items)
    good: list[int] = []
    for place, error in zip(places, errors, strict=True):
        if error is None:
            good.append(place)
        else:
            outcomes[place] = (error.code, error.detail)
    return samples, good
