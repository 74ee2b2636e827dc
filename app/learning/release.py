"""A trained model as files: manifest, weights, card, and the training curve beside them."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from app.learning.training_job import TrainedModel
from app.registry.card import render_card
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest

CURVE_FILE = "training_curve.json"


def write_model(model: TrainedModel, folder: Path) -> None:
    """Write manifest, weights, card, training curve and what intervals come from; see `write_version`."""
    curve = (json.dumps(model.history) + "\n").encode()
    trust = {} if model.trust is None else {TRUST_FILE: model.trust}
    write_version(model.manifest, model.weights, folder, {CURVE_FILE: curve} | trust)


def write_version(manifest: Manifest, weights: bytes, folder: Path, extra: Mapping[str, bytes] | None = None) -> None:
    """Write the files of a version into `folder`, which appears whole or not at all; `extra` files by name.

    Raises FileExistsError when it is there already: versions are immutable.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; a version is never overwritten.")
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    (temporary / WEIGHTS_FILE).write_bytes(weights)
    (temporary / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
    (temporary / CARD_FILE).write_text(render_card(manifest))
    for name, content in (extra or {}).items():
        (temporary / name).write_bytes(content)
    os.replace(temporary, folder)
