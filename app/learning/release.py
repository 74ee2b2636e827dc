"""A trained model as files: manifest, weights, card, and the training curve beside them."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from app.learning.recipes import RECIPES
from app.learning.training_job import TrainedModel
from app.registry.artifact import Artifact
from app.registry.card import render_card
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest

CURVE_FILE = "training_curve.json"


def write_model(model: TrainedModel, folder: Path) -> None:
    """Write manifest, weights, card, training curve and what intervals come from; see `write_version`."""
    curve = (json.dumps(model.history) + "\n").encode()
    trust = {} if model.trust is None else {TRUST_FILE: model.trust}
    write_version(model.manifest, model.weights, folder, {CURVE_FILE: curve} | trust)


def next_version(store: Path, name: str) -> int:
    """The number after those of the versions in `store` and of the recipes for the model."""
    written = [int(path.name) for path in (store / name).iterdir() if path.name.isdigit()]
    return max([*written, *(recipe.version for recipe in RECIPES.values() if recipe.name == name)]) + 1


def write_calibrated(model: Artifact, folder: Path, parent: Path) -> None:
    """Write a version that has the weights of the one in `parent`, a folder beside `folder`: as a link, not twice."""
    assert model.trust is not None
    write_version(model.manifest, None, folder, {TRUST_FILE: model.trust}, Path("..") / parent.name)


def write_version(
    manifest: Manifest,
    weights: bytes | None,
    folder: Path,
    extra: Mapping[str, bytes] | None = None,
    same_weights: Path = Path(),
) -> None:
    """Write the files of a version into `folder`, which appears whole or not at all; `extra` files by name.

    Without `weights`, they are those of the version in `same_weights`, relative to `folder`.

    Raises FileExistsError when it is there already: versions are immutable.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; a version is never overwritten.")
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    if weights is None:
        (temporary / WEIGHTS_FILE).symlink_to(same_weights / WEIGHTS_FILE)
    else:
        (temporary / WEIGHTS_FILE).write_bytes(weights)
    (temporary / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
    (temporary / CARD_FILE).write_text(render_card(manifest))
    for name, content in (extra or {}).items():
        (temporary / name).write_bytes(content)
    os.replace(temporary, folder)
