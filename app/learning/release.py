"""A trained model as files: manifest, weights, card, and the training curve beside them."""

import json
import os
import shutil
from pathlib import Path

from app.learning.training_job import TrainedModel
from app.registry.card import render_card
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, WEIGHTS_FILE

CURVE_FILE = "training_curve.json"


def write_model(model: TrainedModel, folder: Path) -> None:
    """Write the model's files into `folder`, which appears whole or not at all.

    Raises FileExistsError when it is there already: versions are immutable.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; a version is never overwritten.")
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    (temporary / WEIGHTS_FILE).write_bytes(model.weights)
    (temporary / MANIFEST_FILE).write_text(model.manifest.model_dump_json(indent=2) + "\n")
    (temporary / CARD_FILE).write_text(render_card(model.manifest))
    (temporary / CURVE_FILE).write_text(json.dumps(model.history) + "\n")
    os.replace(temporary, folder)
