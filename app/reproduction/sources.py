"""Models to start from, trained for a reproduction the way shipped models are."""

from collections.abc import Callable
from pathlib import Path

from app.core.errors import InvalidRequest
from app.learning.hyperparameters import Hyperparameters
from app.learning.pretraining import pretrain
from app.learning.recipes import Recipe
from app.learning.release import write_model
from app.learning.source_rows import file_digest
from app.learning.training_job import TrainingEvent
from app.registry.manifest import Manifest
from app.reproduction.protocols import Protocol
from app.reproduction.trials import LATER, Places, read_manifest, source_folder


def train_source(
    protocol: Protocol,
    name: str,
    places: Places,
    device: str,
    on_event: Callable[[TrainingEvent], None],
    on_featurised: Callable[[int, int], None],
    graphs: Path,
) -> Manifest:
    """Train a source of the protocol unless it is there; interrupted, it goes on where it was.

    Graphs of whole files lie in `graphs`, where `xtalforge pretrain` finds them too. Raises InvalidRequest for a name
    that is no source, or one that is shipped, and for a source that is there but of other data or another training.
    """
    trained = [each for each, source in protocol.sources.items() if source.recipe]
    if name not in trained:
        raise InvalidRequest(f"{name!r} is no source that {protocol.name} trains. Those are: {', '.join(trained)}.")
    source = protocol.sources[name]
    folder = source_folder(source, name, places)
    assert source.recipe is not None
    recipe = source.recipe(places.kit)
    assert recipe.name == name, "a recipe has the name of its source"
    if folder.exists():
        _check_is_of(read_manifest(protocol, name, places), recipe, places)
    else:
        command = f"xtalforge reproduce {protocol.name} --source {name}"
        model = pretrain(
            recipe, places.kit, graphs, places.models, 0, Hyperparameters(), device, command, on_event, on_featurised
        )  # fmt: skip
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_model(model, folder)
    return read_manifest(protocol, name, places)


def _check_is_of(manifest: Manifest, recipe: Recipe, places: Places) -> None:
    """Raises InvalidRequest for a model of other data or settings than the recipe's."""
    training = manifest.training
    settings = recipe.hyperparameters.model_dump(mode="json", exclude_none=True)
    used = {**LATER, **training.hyperparameters}
    other = [key for key, value in settings.items() if used.get(key) != value]
    if training.dataset_sha256 != file_digest(places.kit / recipe.file):
        other.insert(0, recipe.file)
    if other:
        raise InvalidRequest(
            f"The source {recipe.name} in {places.sources / recipe.name} was trained with another {', '.join(other)}. "
            "Move that folder away to train it as it is meant now."
        )
