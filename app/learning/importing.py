"""The CGCNN authors' published networks, and others in their format, as models with a manifest."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from app.learning.checkpoints import network_to_bytes, weights_digest
from app.learning.original_cgcnn import ORIGINAL_GRAPH, CheckpointRefused, OriginalCheckpoint, read_checkpoint
from app.properties.catalogue import CATALOGUE, PropertySpec, Transform
from app.registry.manifest import (
    Architecture,
    InputKind,
    Manifest,
    Metrics,
    PropertyRecord,
    TrainingRecord,
)

METHOD = "imported"

PROPERTY_KEYS = {
    "formation_energy_per_atom": "formation_energy_per_atom",
    "final_energy_per_atom": "total_energy_per_atom",
    "band_gap": "band_gap",
    "efermi": "fermi_energy",
    "bulk_moduli": "k_vrh",
    "shear_moduli": "g_vrh",
    "poisson_ratio": "poisson_ratio",
}
"""What the authors' own training files call a property, and its key in the catalogue."""

PUBLISHED = {
    "d269775b9be0995c046abed3dd6556c281a3eff7b2e1d73cf81b99e2a1d4aa6c": "band-gap.pth.tar",
    "0a3f66b9a0ee6acef11bb852717424a6c3560073239c17bdbea568cc43816dd3": "bulk-moduli.pth.tar",
    "5ed4ba15b5bd3e04ce6b0eca75f15bb6465557aada4097f11291ea1e7cd48afb": "efermi.pth.tar",
    "1afe9260a0b7bd01d2a0a752fbac12be5badea6a56e57aeea5877ae8f9a32c57": "final-energy-per-atom.pth.tar",
    "e2f8bb910744f2c2f21d968285b6fd4316d795d0f3e7465ed0e3b4f3c92651a1": "formation-energy-per-atom.pth.tar",
    "8d152338550b49ff6c3790cccdb892ee8bafe513bc49ab21955cdf7807e89513": "poisson-ratio.pth.tar",
    "34173bc59a0a8f9f74021155b304b74d9e709b1ff241d3f02e83031c9deb216c": "shear-moduli.pth.tar",
}
"""sha256 of the authors' published regression checkpoints, in the folder `pre-trained` of github txie-93/cgcnn."""

_NO_METALS = "Only for materials known to be no metals: it was trained on such alone, and gives metals a gap too."
_TIES = (
    "It sees exactly 12 neighbours of each atom. Of several that are equally far the first ones found count, where not "
    "all have a place, so its values can depend on the order of the atoms and the choice of the cell."
)
_HYPERPARAMETERS = ("optim", "lr", "momentum", "weight_decay", "batch_size", "epochs")
_MAX_TEXT = 100


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A manifest with its weights as safetensors."""

    manifest: Manifest
    weights: bytes


def import_checkpoint(
    content: bytes, name: str | None = None, spec: PropertySpec | None = None, transform: Transform | None = None
) -> ImportedModel:
    """The model of a `.pth.tar` of the original CGCNN code.

    `name` and `spec` may be left out for the published files. `transform` says on which scale the labels were trained
    on, where that is not the property's own. Raises CheckpointRefused.
    """
    checkpoint = read_checkpoint(content)
    digest = hashlib.sha256(content).hexdigest()
    record = _property(checkpoint.arguments, spec, transform)
    if name is None:
        if digest not in PUBLISHED:
            raise CheckpointRefused("It is none of the authors' published files: give the model a name.")
        name = f"xie-grossman-{record.key.replace('_', '-')}"
    weights = network_to_bytes(checkpoint.network)
    is_published = digest in PUBLISHED
    manifest = Manifest(
        name=name,
        architecture=Architecture.CGCNN,
        input_kind=InputKind.STRUCTURE,
        property=record,
        network=checkpoint.network.settings.model_dump(mode="json"),
        graph=ORIGINAL_GRAPH.model_dump(mode="json"),
        scaling=checkpoint.scaling,
        elements=[],
        metrics=Metrics(),
        training=_training(checkpoint, is_published),
        description=_description(checkpoint, record, digest),
        scope=_NO_METALS if is_published and record.key == "band_gap" else "",
        weights_sha256=weights_digest(weights),
        weights_bytes=len(weights),
    )
    return ImportedModel(manifest, weights)


def _property(arguments: Mapping[str, Any], spec: PropertySpec | None, transform: Transform | None) -> PropertyRecord:
    """What the network predicts: as the file names it, or as the caller does where the file names nothing known."""
    options = arguments.get("data_options")
    named = str(options[2]) if isinstance(options, list) and len(options) == 3 else ""
    key = PROPERTY_KEYS.get(named)
    if spec is None:
        if key is None:
            raise CheckpointRefused("It does not name a known property: say which one it predicts.")
        spec = CATALOGUE[key]
    elif key not in (None, spec.key):
        raise CheckpointRefused(f"It says itself that it predicts {named}, which is {key} here, not {spec.key}.")
    record = PropertyRecord.of(spec)
    return record.model_copy(update={"transform": transform}) if transform is not None else record


def _training(checkpoint: OriginalCheckpoint, is_published: bool) -> TrainingRecord:
    arguments = checkpoint.arguments
    sizes = [arguments.get(f"{part}_size") for part in ("train", "val", "test")]
    n_train, n_val, n_test = (max(size, 0) if isinstance(size, int) else 0 for size in sizes)
    return TrainingRecord(
        method=METHOD,
        dataset=_dataset(arguments) if is_published else "not recorded",
        licence="CC BY 4.0 (Materials Project)" if is_published else None,
        split="not recorded",
        n_train=n_train,
        n_val=n_val,
        n_test=n_test,
        seed=None,
        hyperparameters={name: arguments[name] for name in _HYPERPARAMETERS if _is_plain(arguments.get(name))},
        best_epoch=checkpoint.epoch,
        epochs=checkpoint.epoch,
    )


def _is_plain(value: object) -> bool:
    """What JSON can hold, and a database keep."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or (isinstance(value, str) and len(value) <= _MAX_TEXT)


def _dataset(arguments: Mapping[str, Any]) -> str:
    """The authors' training files carry the day of their download from the Materials Project."""
    return f"Materials Project, the authors' selection {PurePosixPath(arguments['data_options'][0]).stem}"


def _description(checkpoint: OriginalCheckpoint, record: PropertyRecord, digest: str) -> str:
    if digest in PUBLISHED:
        origin = (
            f"The network `{PUBLISHED[digest]}` that T. Xie and J. C. Grossman published with *Crystal graph "
            "convolutional neural networks for an accurate and interpretable prediction of material properties*, Phys. "
            "Rev. Lett. 120 (2018) 145301 (github txie-93/cgcnn, MIT licence), its weights unchanged."
        )
    else:
        origin = "A network trained with the CGCNN code of Xie and Grossman by someone this installation does not know."
    parts = [f"{origin} Imported from a file with the sha256 `{digest}`.", _TIES]
    if checkpoint.validation_mae is not None:
        unit = f"log10({record.unit})" if record.transform is Transform.LOG10 else record.unit
        parts.append(f"The file itself states an MAE of {checkpoint.validation_mae:.4g} {unit} on its validation rows.")
    return " ".join(parts)
