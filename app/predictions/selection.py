"""Which models answer, and what each of them is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from app.core.errors import InputKindMismatch, ModelNotFound
from app.learning.graphs.settings import GraphSettings
from app.predictions.engine import ModelItem
from app.properties.catalogue import get_property
from app.registry.artifact import Artifact, StoredVersion
from app.registry.manifest import InputKind, Manifest
from app.structures.crystal import Crystal
from app.structures.formula import Composition


@dataclass(frozen=True, slots=True)
class SelectedModel:
    """A model version that answers.

    `graph` is set for models that read structures, `elements` are those of the training rows, `is_named` says that the
    request asked for the model by name.
    """

    version: StoredVersion
    manifest: Manifest
    graph: GraphSettings | None
    elements: frozenset[str]
    is_named: bool

    @property
    def label(self) -> str:
        return f"{self.version.model_name}/{self.version.version}"


class Models(Protocol):
    """Who knows the models."""

    def select(self, models: Sequence[str] | None, properties: Sequence[str] | None) -> list[SelectedModel]:
        """The models that answer a request that names these models or properties, or none."""
        ...

    def load(self, version: StoredVersion) -> Artifact:
        """The files of a version, verified. Raises ArtifactCorrupt."""
        ...


def selected_model(version: StoredVersion, manifest: Manifest, *, is_named: bool) -> SelectedModel:
    """A version that answers, by what its manifest says of it."""
    return SelectedModel(version, manifest, graph_settings(manifest), frozenset(manifest.elements), is_named)


def graph_settings(manifest: Manifest) -> GraphSettings | None:
    """None for a model that reads no graph, or one that cannot be told: the engine says so when it loads the model, in
    the answer of that model alone."""
    if manifest.graph is None:
        return None
    try:
        return GraphSettings.model_validate(manifest.graph)
    except ValidationError:
        return None


def refuse_unserved(selected: Sequence[SelectedModel], properties: Sequence[str] | None) -> None:
    """Raise ModelNotFound or PropertyNotFound when no model serves one of the properties, or there is none at all."""
    served = {model.manifest.property.key for model in selected}
    for key in properties or ():
        if key not in served:
            label = get_property(key).label
            raise ModelNotFound(
                f"No model here predicts the {label} ({key}) yet. Train one from your data with "
                "POST /v1/fine-tuning/jobs, or see GET /v1/properties for what is served."
            )
    if not selected:
        raise ModelNotFound("No model is registered here yet, so nothing can be predicted.")


def item_for(model: SelectedModel, item: ModelItem) -> ModelItem | InputKindMismatch | None:
    """What the model takes of an input: itself, its composition, nothing (None), or why it cannot.

    A crystal is reduced to its composition only for a model asked for by name: otherwise a model that does see the
    structure answers, and a second value that ignores it would mislead.
    """
    wanted = model.manifest.input_kind
    if isinstance(item, Crystal):
        if wanted is InputKind.STRUCTURE:
            return item
        return _composition_of(item) if model.is_named else None
    if wanted is InputKind.COMPOSITION:
        return item
    if not model.is_named:
        return None
    return InputKindMismatch(f"{model.label} predicts from crystal structures: a composition alone is not enough.")


def _composition_of(crystal: Crystal) -> Composition:
    note = "the model reads compositions: of the structure only the composition was used"
    return Composition({symbol: float(n) for symbol, n in crystal.element_counts.items()}, (*crystal.notes, note))


def no_model_fits(item: ModelItem, models: Sequence[SelectedModel]) -> InputKindMismatch:
    """Why none of the selected models was given this input."""
    kind, other = ("structure", "compositions") if isinstance(item, Crystal) else ("composition", "structures")
    names = ", ".join(model.version.model_name for model in models[:5])
    advice = " Name such a model in `models` to have the structure's composition used." if kind == "structure" else ""
    return InputKindMismatch(f"This input is a {kind}, but the models that answer here take {other} ({names}).{advice}")


def unseen_elements(model: SelectedModel, item: ModelItem) -> list[str]:
    """Elements of the input that no training row of the model had; none where those are not recorded."""
    if not model.elements:
        return []
    symbols = item.element_counts if isinstance(item, Crystal) else item.amounts
    return sorted(symbols.keys() - model.elements)
