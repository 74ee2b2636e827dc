"""Models to start from, trained for a reproduction the way shipped models are."""

from collections.abc import Callable
from pathlib import Path

from app.core.errors import InvalidRequest
from app.learning.hyperparameters import Hyperparameters
from app.learning.pretraining import pretrain
from app.learning.release import write_model
from app.learning.training_job import TrainingEvent
from app.registry.manifest import Manifest
from app.reproduction.protocols import Protocol
from app.reproduction.trials import Places, read_manifest, source_folder


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
    that is no source, or one that is shipped.
    """
    trained = [each for each, source in protocol.sources.items() if source.recipe]
    if name not in trained:
        raise InvalidRequest(f"{name!r} is no source that {protocol.name} trains. Those are: {', '.join(trained)}.")
    source = protocol.sources[name]
    folder = source_folder(source, name, places)
    if not folder.exists():
        assert source.recipe is not None
        recipe = source.recipe(places.kit)
        assert recipe.name == name, "a recipe has the name of its source"
        command = f"xtalforge reproduce {protocol.name} --source {name}"
        model = pretrain(
            recipe, places.kit, graphs, places.models, 0, Hyperparameters(), device, command, on_event, on_featurised
        )  # fmt: skip
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_model(model, folder)
    return read_manifest(protocol, name, places)
