"""Feature vectors of inputs, as one model sees them."""

from collections.abc import Sequence
from functools import partial

from app.core.errors import InputKindMismatch, TooManyInputs, XtalforgeError
from app.core.settings import LimitSettings
from app.learning.featurising import FeaturisedCrystal
from app.predictions.answers import error_read, nothing_usable
from app.predictions.embedding_schemas import AtomRead, Embedding, EmbeddingAnswer
from app.predictions.engine import Embedded, EngineInput, InferenceEngine
from app.predictions.featuriser import Featuriser
from app.predictions.inputs import FailedInput, RawInput, Reading, ReadInput
from app.predictions.schemas import ModelReference, PredictionError
from app.predictions.selection import Models, SelectedModel, item_for
from app.registry.manifest import Architecture
from app.structures.crystal import Crystal

_KINDS = {
    Architecture.CGCNN: "pooled features of the atoms, before the fully connected layers",
    Architecture.SCHNET: "mean of the atoms' features, before the output layers",
    Architecture.ELEMNET: "activations after the last blocks of hidden layers",
    Architecture.ELEMNET_REPRESENTATION: "activations after the last blocks of hidden layers",
    Architecture.BASELINE: "the descriptor that the model reads",
    Architecture.ENSEMBLE: "answers of the members, and the descriptors that they read",
}


class EmbeddingService:
    """Blocking; meant for a worker thread."""

    def __init__(
        self, directory: Models, engine: InferenceEngine, limits: LimitSettings, featuriser: Featuriser
    ) -> None:
        self._directory = directory
        self._engine = engine
        self._limits = limits
        self._featuriser = featuriser

    def embed(
        self,
        inputs: Sequence[RawInput],
        model: str,
        failed: Sequence[FailedInput] = (),
        *,
        contributions: bool = False,
    ) -> EmbeddingAnswer:
        """Vectors and errors; `failed` are inputs that the caller could not read.

        Raises TooManyInputs, the errors of `ModelDirectory.select`, NoContributions, and when there is no vector at all
        the error that every input had, or NoUsableInput when they differ.
        """
        self._refuse_too_many(len(inputs))
        (selected,) = self._directory.select([model], None)
        reading = Reading(inputs, () if selected.graph is None else (selected.graph,), only_light=False)
        entries = [*reading.results(self._featuriser.featurise(reading.tasks)), *failed]
        self._refuse_too_many(len(entries))
        found = self._found(selected, entries, contributions=contributions)
        return _answer(selected, [entry.id for entry in entries], found)

    def _refuse_too_many(self, n_inputs: int) -> None:
        most = self._limits.max_inputs_per_request
        if n_inputs > most:
            raise TooManyInputs(
                f"One request may have {most:,} inputs; this one has {n_inputs:,}. Split it.", limit=most
            )

    def _found(
        self, model: SelectedModel, entries: Sequence[ReadInput | FailedInput], *, contributions: bool
    ) -> list[Embedded | XtalforgeError]:
        given = [_given(model, entry) for entry in entries]
        items = [item for item in given if not isinstance(item, XtalforgeError)]
        load = partial(self._directory.load, model.version)
        made = iter(self._engine.embed(model.version.id, load, items, contributions=contributions))
        return [item if isinstance(item, XtalforgeError) else next(made) for item in given]


def _given(model: SelectedModel, entry: ReadInput | FailedInput) -> EngineInput | XtalforgeError:
    if isinstance(entry, FailedInput):
        return entry.error
    item = item_for(model, entry.item)
    assert item is not None  # the model was asked for by name
    if isinstance(item, InputKindMismatch):
        return item
    return FeaturisedCrystal(item, entry.graphs) if isinstance(item, Crystal) else item


def _answer(model: SelectedModel, ids: Sequence[str], found: Sequence[Embedded | XtalforgeError]) -> EmbeddingAnswer:
    version = model.version
    reference = ModelReference(name=version.model_name, version=version.version, sha256=version.weights_sha256)
    embeddings: list[Embedding] = []
    errors: list[PredictionError] = []
    for input_id, each in zip(ids, found, strict=True):
        if isinstance(each, XtalforgeError):
            errors.append(error_read(input_id, each, None))
        else:
            atoms = (
                None
                if each.atoms is None
                else [AtomRead(element=symbol, share=share, contribution=value) for symbol, share, value in each.atoms]
            )
            embeddings.append(Embedding(input_id=input_id, vector=each.vector, atoms=atoms))
    if not embeddings:
        raise nothing_usable([each for each in found if isinstance(each, XtalforgeError)], errors)
    return EmbeddingAnswer(
        model=reference,
        dimension=len(embeddings[0].vector),
        kind=_KINDS[model.manifest.architecture],
        embeddings=embeddings,
        errors=errors,
    )
