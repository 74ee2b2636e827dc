"""Intervals and domain for a shipped model that was trained without them: from the rows of its recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.core.errors import XtalforgeError
from app.learning.checkpoints import load_network
from app.learning.device import flushed_denormals, torch_device
from app.learning.networks.factory import inference_form
from app.learning.outputs import predict_outputs
from app.learning.pretraining import prepare_recipe
from app.learning.recipes import Recipe
from app.learning.source_rows import file_digest
from app.learning.splits import Split, move_to_training, split_rows
from app.learning.tables import PreparedTable
from app.learning.targets import TargetMap
from app.learning.trust.making import Trained, make_trust
from app.registry.artifact import Artifact
from app.registry.manifest import MANIFEST_FILE, WEIGHTS_FILE, Manifest, Parent

FloatArray = npt.NDArray[np.float64]

_SAME_ERROR = 1e-3
"""Relative; of the test rows, between the machine the model was trained on and this one."""


class NotTheSameRows(XtalforgeError):
    code, title = "not_the_same_rows", "The rows are not those the model was trained on"


@dataclass(frozen=True, slots=True)
class Version:
    """A shipped version by its folder `<store>/<name>/<number>`."""

    folder: Path
    manifest: Manifest

    @classmethod
    def read(cls, folder: Path) -> "Version":
        return cls(folder, Manifest.model_validate_json((folder / MANIFEST_FILE).read_text()))


def calibrate_version(
    version: Version,
    recipe: Recipe,
    data_kit: Path,
    work_dir: Path,
    device: str,
    command: str,
    on_featurised: Callable[[int, int], None],
) -> Artifact:
    """The next version: the same weights, with intervals and domain; `version` is its parent.

    Raises FileNotFoundError when the source is not in `data_kit`, NotTheSameRows when it is not the one the model was
    trained on or the model does not have its recorded error on the test rows.
    """
    manifest, path = version.manifest, data_kit / recipe.file
    if file_digest(path) != manifest.training.dataset_sha256:
        raise NotTheSameRows(f"{path.name} is not the file that {manifest.name} was trained on (sha256 differs).")
    prepared = prepare_recipe(recipe, path, work_dir, on_featurised)
    split = _split(manifest, prepared)
    weights = (version.folder / WEIGHTS_FILE).read_bytes()
    where = torch_device(device)
    network = inference_form(load_network(manifest, weights, where))
    target_map = TargetMap(manifest.property.transform, manifest.scaling)
    with flushed_denormals():
        outputs = predict_outputs(network, prepared.samples.take(split.test), where)
        _require_same_error(manifest, target_map.to_physical(outputs), prepared.labels[split.test])
        seed = manifest.training.seed or 0
        trained = Trained(network, target_map, prepared, split, manifest.property, True, seed, where)
        made = make_trust(trained, command)
    assert made is not None  # its predictions are numbers
    trust, record = made
    parent = Parent(name=manifest.name, version=int(version.folder.name), weights_sha256=manifest.weights_sha256)
    changes = {"trust": record, "parent": parent, "created_at": datetime.now(UTC)}
    return Artifact(manifest.model_copy(update=changes), weights, trust)


def _split(manifest: Manifest, prepared: PreparedTable) -> Split:
    """As the recorded hyperparameters say. Raises NotTheSameRows when other numbers of rows come out."""
    record = manifest.training
    mode, for_training, for_validation = (
        record.hyperparameters[name] for name in ("split", "train_fraction", "val_fraction")
    )
    split = split_rows(prepared.keys, mode, for_training, for_validation, record.seed or 0)
    split = move_to_training(split, prepared.keys, prepared.always_train)
    sizes = tuple(len(rows) for rows in (split.train, split.val, split.test))
    recorded = (record.n_train, record.n_val, record.n_test)
    if sizes != recorded:
        raise NotTheSameRows(f"The recipe splits into {sizes} rows, {manifest.name} was trained with {recorded}.")
    return split


def _require_same_error(manifest: Manifest, predictions: FloatArray, labels: FloatArray) -> None:
    test = manifest.metrics.test
    mae = float(np.abs(predictions - labels).mean())
    if test is None or abs(mae - test.mae) > _SAME_ERROR * test.mae:
        recorded = "none" if test is None else f"{test.mae:.6g}"
        raise NotTheSameRows(f"The MAE of {manifest.name} on these test rows is {mae:.6g}; recorded is {recorded}.")
