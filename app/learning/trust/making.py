"""Intervals and domain of a network from the rows it was trained and tested on."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from app.learning.baselines.factory import is_baseline
from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.splits import Split
from app.learning.tables import PreparedTable
from app.learning.targets import TargetMap, apply_transform, physical_bounds
from app.learning.trust.assessment import HeldOut
from app.learning.trust.calibration import Calibrated, calibrate
from app.learning.trust.file import trust_to_bytes
from app.learning.trust.places import FloatArray, IntArray, Places, Projection, composition_places, fractions_of_keys
from app.learning.trust.reference import Reference, choose_reference
from app.learning.trust.report import record_of
from app.learning.trust.rows import AnsweredRows, answered
from app.registry.manifest import PropertyRecord, TrustRecord

_MOST_FITTING_ROWS = 4000


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network with its rows; `split` as it was used.

    `by_formula`: whole formulas were held out. `val_chose`: validation rows chose the weights. `held_out_errors`
    (n_train,) are absolute errors of the training rows, on the scale of the transform, each by a model that had not
    seen the row; None where there are none.
    """

    network: nn.Module
    target_map: TargetMap
    prepared: PreparedTable
    split: Split
    property: PropertyRecord
    by_formula: bool
    seed: int
    device: torch.device
    held_out_errors: FloatArray | None = None
    val_chose: bool = True


def make_trust(trained: Trained, command: str | None = None) -> tuple[bytes, TrustRecord] | None:
    """The file that goes with the weights, and what the manifest says of it.

    None where the network's features are no numbers, so that nothing can be compared. `command` repeats it.
    """
    split, keys = trained.split, trained.prepared.keys
    kept = split.train[choose_reference([keys[row] for row in split.train], trained.seed)]
    known, test = _answered(trained, kept), _answered(trained, split.test)
    fitting = _answered(trained, split.val) if len(split.val) else _held_out(trained)
    if not all(np.isfinite(rows.embeddings).all() for rows in (known, test, fitting)):
        return None
    transform = trained.property.transform
    projection = Projection.fit(known.embeddings, standardise=_is_described(trained.network))
    places = Places(projection(known.embeddings), composition_places(known.fractions))
    labels = apply_transform(known.labels, transform)
    reference = Reference.of(projection, places, known.keys, known.labels, labels, known.errors)
    groups, fitting_groups = (
        rows.keys if trained.by_formula else [f"{part} {row}" for row in range(len(rows))]
        for part, rows in (("test", test), ("fitting", fitting))
    )
    made = calibrate(reference, fitting, test, fitting_groups, groups, transform, physical_bounds(trained.property))
    held_out = _held_out_rows(projection, test, fitting if len(split.val) else _no_rows(), trained.seed)
    content = trust_to_bytes(replace(made.trust, held_out=held_out))
    formulas = {keys[row] for row in split.train}
    return content, record_of(made, content, test, formulas, _calibrated_on(trained, made, fitting), command)


def _held_out_rows(projection: Projection, test: AnsweredRows, val: AnsweredRows, seed: int) -> HeldOut:
    """Where test and validation rows lie, at most as many as there may be reference rows, as a file keeps them."""
    parts = [rows for rows in (test, val) if len(rows)]
    keys = [key for rows in parts for key in rows.keys]
    if not keys:
        return HeldOut()
    kept = choose_reference(keys, seed)
    features = projection(np.concatenate([rows.embeddings for rows in parts]))[kept]
    return HeldOut(tuple(keys[row] for row in kept), features.astype(np.float16).astype(np.float32))


def _is_described(network: nn.Module) -> bool:
    """Whether feature vectors have columns with units of their own."""
    return is_baseline(network) or isinstance(network, EnsembleNetwork)


def _answered(trained: Trained, rows: IntArray) -> AnsweredRows:
    return answered(trained.network, trained.target_map, trained.prepared, rows, trained.device)


def _held_out(trained: Trained) -> AnsweredRows:
    """Training rows with the errors of models that had not seen them; none where those are not known."""
    errors = trained.held_out_errors
    rows = np.zeros(0, dtype=np.int64) if errors is None else np.flatnonzero(np.isfinite(errors))
    if len(rows) > _MOST_FITTING_ROWS:
        rows = np.sort(np.random.default_rng(trained.seed).permutation(rows)[:_MOST_FITTING_ROWS])
    found = _answered(trained, trained.split.train[rows]) if len(rows) else _no_rows()
    held = np.zeros(0) if errors is None else errors[rows]
    return AnsweredRows(found.embeddings, found.fractions, found.keys, found.labels, found.predictions, held)


def _no_rows() -> AnsweredRows:
    none = np.zeros(0)
    return AnsweredRows(np.zeros((0, 0), dtype=np.float32), fractions_of_keys([]), [], none, none, none)


def _calibrated_on(trained: Trained, made: Calibrated, fitting: AnsweredRows) -> str:
    n_test, n_used = len(trained.split.test), made.n_calibration
    if made.pooled:
        rows = f"{n_test} test rows and {len(fitting)} rows held out of the training before, all that there are"
        if len(trained.split.val) and trained.val_chose:
            rows += " (validation rows chose the epoch: intervals may be a little narrow)"
    elif n_used == n_test:
        rows = f"all {n_test:,} test rows"
    else:
        rows = f"{n_used:,} of the {n_test:,} test rows, those of half of their groups"
    assumption = (
        "new formulas are assumed to be like those of the test rows, and each formula weighs the same"
        if trained.by_formula
        else "new rows are assumed to be like the test rows, which were drawn at random"
    )
    return f"{rows}; {assumption}"
