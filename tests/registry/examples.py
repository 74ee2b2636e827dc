"""Small artifacts for registry tests. Their weights are bytes: the registry never looks into them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from app.properties.catalogue import get_property
from app.registry.card import render_card
from app.registry.manifest import (
    CARD_FILE,
    MANIFEST_FILE,
    WEIGHTS_FILE,
    Architecture,
    InputKind,
    Manifest,
    Metrics,
    PropertyRecord,
    SplitMetrics,
    TargetScaling,
    TrainingRecord,
)


def make_manifest(name: str = "cgcnn-band-gap", weights: bytes = b"weights", **changes: Any) -> Manifest:
    """A manifest that fits the weights; `property_key` and any field of Manifest may be given."""
    prop = PropertyRecord.of(get_property(changes.pop("property_key", "band_gap")))
    fields: dict[str, Any] = {
        "name": name,
        "architecture": Architecture.CGCNN,
        "input_kind": InputKind.STRUCTURE,
        "property": prop,
        "network": {"n_convolutions": 3},
        "scaling": TargetScaling(kind="standard", mean=1.0, std=2.0),
        "elements": ["Na", "Cl"],
        "metrics": Metrics(test=SplitMetrics(n=10, mae=0.25, rmse=0.5, r2=0.9, max_error=1.5, mad=1.25)),
        "training": TrainingRecord(
            method="scratch", dataset="rocksalts", split="random 4:1:1, seed 7", n_train=40, n_val=10,
            n_test=10, seed=7, hyperparameters={"max_epochs": 3}, best_epoch=2, epochs=3,
        ),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "weights_bytes": len(weights),
    }  # fmt: skip
    return Manifest(**{**fields, **changes})


def ship(folder: Path, manifest: Manifest, weights: bytes, number: int, card: bool = True) -> Path:
    """Write a version as the installation ships it; returns its folder."""
    target = folder / manifest.name / str(number)
    target.mkdir(parents=True)
    (target / MANIFEST_FILE).write_text(json.dumps(manifest.model_dump(mode="json")))
    (target / WEIGHTS_FILE).write_bytes(weights)
    if card:
        (target / CARD_FILE).write_text(render_card(manifest))
    return target
