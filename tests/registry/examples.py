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
    TRUST_FILE,
    WEIGHTS_FILE,
    Architecture,
    InputKind,
    Manifest,
    Metrics,
    PropertyRecord,
    SplitMetrics,
    TargetScaling,
    TrainingRecord,
    TrustRecord,
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


def trust_record(content: bytes) -> TrustRecord:
    """What a manifest says of a file of intervals: the registry never looks into it."""
    return TrustRecord(
        sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content), n_reference=9, calibrated_on="all rows",
        n_calibration=9, highest_level=0.9, measured_on="all rows", coverage=None, families=[], mae_by_score=[],
        mae_inside=None, mae_outside=None, rank_correlation=None, rank_correlation_expected=None, flagged=0.0,
        flagged_left_out_elements=None,
    )  # fmt: skip


def ship(
    folder: Path, manifest: Manifest, weights: bytes, number: int, card: bool = True, trust: bytes | None = None
) -> Path:
    """Write a version as the installation ships it; returns its folder."""
    target = folder / manifest.name / str(number)
    target.mkdir(parents=True)
    (target / MANIFEST_FILE).write_text(json.dumps(manifest.model_dump(mode="json")))
    (target / WEIGHTS_FILE).write_bytes(weights)
    if trust is not None:
        (target / TRUST_FILE).write_bytes(trust)
    if card:
        (target / CARD_FILE).write_text(render_card(manifest))
    return target
