"""Predictions of many inputs by many models; what fails is reported beside what works."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from app.core.errors import InputKindMismatch, TooManyInputs, XtalforgeError
from app.core.metrics import count_predictions, stage
from app.core.settings import LimitSettings
from app.learning.featurising import FeaturisedCrystal
from app.predictions.answers import Outcomes, Wishes, answer_of, nothing_usable, outcomes_of
from app.predictions.engine import EngineInput, Estimate, InferenceEngine
from app.predictions.featuriser import Featuriser, Underway
from app.predictions.inputs import FailedInput, RawInput, Reading
from app.predictions.schemas import PredictionAnswer
from app.predictions.selection import Models, SelectedModel, item_for, no_model_fits
from app.predictions.tasks import Structures
from app.structures.crystal import Crystal


class NotLight(Exception):
    """The request cannot be computed in passing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks for; `failed` are inputs that could not even be opened, `chosen` the models where they are
    chosen already."""

    inputs: Sequence[RawInput]
    models: Sequence[str] | None = None
    properties: Sequence[str] | None = None
    failed: Sequence[FailedInput] = ()
    wishes: Wishes = field(default_factory=Wishes)
    chosen: list[SelectedModel] | None = None


@dataclass(slots=True)
class _Work:
    """A request on its way."""

    asked: Asked
    models: list[SelectedModel]
    reading: Reading
    outcomes: list[Outcomes] = field(default_factory=list)
    failure: Exception | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A request whose structures are being read."""

    work: _Work
    reading: Underway


class PredictionService:
    """Blocking; meant for a worker thread."""

    def __init__(
        self,
        directory: Models,
        engine: InferenceEngine,
        limits: LimitSettings,
        featuriser: Featuriser,
    ) -> None:
        self._directory = directory
        self._engine = engine
        self._limits = limits
        self._featuriser = featuriser

    def predict(
        self,
        inputs: Sequence[RawInput],
        models: Sequence[str] | None = None,
        properties: Sequence[str] | None = None,
        failed: Sequence[FailedInput] = (),
        wishes: Wishes | None = None,
    ) -> PredictionAnswer:
        """Values and errors of these inputs; `failed` are inputs that the caller could not read.

        Raises TooManyInputs, the errors of `ModelDirectory.select`, and when there is no value at all the error that
        every input had, or NoUsableInput when they differ; its `errors` list them.
        """
        return _answer(self._computed(Asked(inputs, models, properties, failed, wishes or Wishes())))

    def predict_leniently(
        self,
        inputs: Sequence[RawInput],
        models: Sequence[str] | None = None,
        properties: Sequence[str] | None = None,
        failed: Sequence[FailedInput] = (),
        wishes: Wishes | None = None,
    ) -> PredictionAnswer:
        """The same, but an answer without any value is no error."""
        return _answer(self._computed(Asked(inputs, models, properties, failed, wishes or Wishes())), may_be_empty=True)

    def outcomes(self, asked: Asked) -> tuple[list[SelectedModel], list[Outcomes]]:
        """The models that answer and what became of each input, for callers that need more of it than its values.

        An input without any value is no error. Raises TooManyInputs and the errors of `ModelDirectory.select`.
        """
        work = self._computed(asked)
        return work.models, work.outcomes

    def begin(self, asked: Asked) -> Begun:
        """Begin a request that is answered together with others; its parts are to be done by the caller.

        Raises TooManyInputs and the errors of `ModelDirectory.select`.
        """
        work = self._begun(asked, only_light=True)
        return Begun(work, self._featuriser.start(work.reading.tasks))

    def finish(self, together: Sequence[Begun]) -> list[PredictionAnswer | Exception]:
        """The answers of requests whose reading is done, or in its place the exception `predict` would raise.

        NotLight for a request that would keep the others waiting: it is to be asked alone.
        """
        for begun in together:
            try:
                self._take_in(begun.work, begun.reading.results())
            except Exception as error:  # noqa: BLE001 - raised where the request is answered
                begun.work.failure = error
        with stage("forward"):
            self._run([begun.work for begun in together])
        answers: list[PredictionAnswer | Exception] = []
        with stage("answer"):
            for begun in together:
                try:
                    answers.append(_answer(begun.work))
                except Exception as error:  # noqa: BLE001 - raised where the request is answered
                    answers.append(error)
        return answers

    def _computed(self, asked: Asked) -> _Work:
        work = self._begun(asked, only_light=False)
        self._take_in(work, self._featuriser.featurise(work.reading.tasks))
        with stage("forward"):
            self._run([work])
        return work

    def _begun(self, asked: Asked, *, only_light: bool) -> _Work:
        self._refuse_too_many(len(asked.inputs))
        selected = asked.chosen
        if selected is None:
            selected = self._directory.select(asked.models, asked.properties)
        settings = tuple(dict.fromkeys(model.graph for model in selected if model.graph is not None))
        return _Work(asked, selected, Reading(asked.inputs, settings, only_light=only_light))

    def _refuse_too_many(self, n_inputs: int) -> None:
        most = self._limits.max_inputs_per_request
        if n_inputs > most:
            raise TooManyInputs(
                f"One request may have {most:,} inputs; this one has {n_inputs:,}. Split it.", limit=most
            )

    def _take_in(self, work: _Work, structures: Sequence[Structures]) -> None:
        if not all(structures):
            raise NotLight
        read = [*work.reading.results(structures), *work.asked.failed]
        self._refuse_too_many(len(read))
        work.outcomes = [outcomes_of(entry) for entry in read]

    def _run(self, works: Collection[_Work]) -> None:
        """Every model on all that any of the requests gives it."""
        given: dict[str, tuple[SelectedModel, list[tuple[Outcomes, int, EngineInput]]]] = {}
        for work in works:
            for index, model in enumerate(work.models):
                entries = given.setdefault(model.version.id, (model, []))[1]
                for outcome in work.outcomes:
                    item = item_for(model, outcome.item) if outcome.item is not None else None
                    if isinstance(item, InputKindMismatch):
                        outcome.by_model[index] = item
                    elif isinstance(item, Crystal):
                        entries.append((outcome, index, FeaturisedCrystal(item, outcome.graphs)))
                    elif item is not None:
                        entries.append((outcome, index, item))
        for model, entries in given.values():
            values = self._values(model, [item for _, _, item in entries]) if entries else ()
            for (outcome, index, _), value in zip(entries, values, strict=True):
                outcome.by_model[index] = value

    def _values(self, model: SelectedModel, items: Sequence[EngineInput]) -> Sequence[Estimate | XtalforgeError]:
        try:
            # Not by the weights: two versions may share them and differ in scale or unit.
            values = self._engine.predict(model.version.id, partial(self._directory.load, model.version), items)
        except XtalforgeError as error:
            # A model that cannot be loaded must not take the others' answers with it.
            values = [error] * len(items)
        _count(model, values)
        return values


def _count(model: SelectedModel, values: Sequence[Estimate | XtalforgeError]) -> None:
    n_failed = sum(isinstance(value, XtalforgeError) for value in values)
    for outcome, n in (("value", len(values) - n_failed), ("error", n_failed)):
        if n:
            count_predictions(model.version.model_name, model.version.version, outcome, n)


def _answer(work: _Work, *, may_be_empty: bool = False) -> PredictionAnswer:
    if work.failure is not None:
        raise work.failure
    for outcome in work.outcomes:
        if outcome.item is not None and not outcome.by_model:
            outcome.error = no_model_fits(outcome.item, work.models)
    answer = answer_of(work.outcomes, work.models, work.asked.wishes)
    if not answer.predictions and not may_be_empty:
        raise nothing_usable([cause for outcome in work.outcomes for cause in outcome.causes()], answer.errors)
    return answer
