"""What a model knows of its errors, as a safetensors file beside its weights."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from app.core.errors import ArtifactCorrupt
from app.learning.targets import apply_transform
from app.learning.trust.assessment import HeldOut, Trust
from app.learning.trust.conformal import ScoreTable
from app.learning.trust.difficulty import N_FEATURES, Difficulty
from app.learning.trust.places import Places, Projection, element_coordinates
from app.learning.trust.reference import Reference
from app.registry.manifest import Manifest

_SEPARATOR = "\n"
_FEWEST_ROWS = 2
_NDIM = {
    "mean": 1, "matrix": 2, "features": 2, "compositions": 2, "labels": 1, "errors": 1, "spacing": 2, "formulas": 1,
    "difficulty_scale": 1, "difficulty_weights": 1, "scores": 1, "shares": 1, "numbers": 1,
}  # fmt: skip


def trust_to_bytes(trust: Trust) -> bytes:
    """Safetensors; equal for equal content."""
    reference, numbers = trust.reference, (trust.difficulty.intercept, trust.limit, trust.lower, trust.upper)
    tensors: dict[str, npt.NDArray[Any]] = {
        "mean": reference.projection.mean,
        "matrix": reference.projection.matrix,
        "features": reference.places.features.astype(np.float16),
        "compositions": reference.places.compositions.astype(np.float16),
        "labels": reference.labels,
        "errors": reference.errors,
        "spacing": reference.spacing,
        "formulas": _packed(reference.formulas),
        "difficulty_scale": trust.difficulty.scale,
        "difficulty_weights": trust.difficulty.weights,
        "scores": trust.scores.scores,
        "shares": trust.scores.shares,
        "numbers": np.array(numbers),
    }
    if trust.held_out.formulas:
        tensors["held_out_features"] = trust.held_out.features.astype(np.float16)
        tensors["held_out_formulas"] = _packed(trust.held_out.formulas)
    return safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in tensors.items()})


def load_trust(manifest: Manifest, content: bytes) -> Trust:
    """Raises ArtifactCorrupt when the file is not the one the manifest names, or does not hold together."""
    named = manifest.trust
    if named is None or hashlib.sha256(content).hexdigest() != named.sha256:
        raise ArtifactCorrupt(f"The intervals of {manifest.name} are not those its manifest names (sha256 differs).")
    try:
        return _read(manifest, safetensors.numpy.load(content))
    except (safetensors.SafetensorError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise ArtifactCorrupt(f"The intervals of {manifest.name} cannot be read: {error}") from error


def _read(manifest: Manifest, tensors: dict[str, npt.NDArray[Any]]) -> Trust:
    wide: dict[str, npt.NDArray[np.float64]] = {}
    for name, ndim in _NDIM.items():
        if tensors[name].ndim != ndim:
            raise ValueError(f"{name} has {tensors[name].ndim} dimensions")
        wide[name] = tensors[name].astype(np.float64)
    formulas = _unpacked(wide["formulas"])
    _require_fitting({name: array.shape for name, array in wide.items()}, len(formulas))
    projection = Projection(_single(wide["mean"]), _single(wide["matrix"]))
    places = Places(_single(wide["features"]), _single(wide["compositions"]))
    labels = wide["labels"]
    intercept, limit, lower, upper = wide["numbers"].tolist()
    if not (limit > 0 and lower <= upper and (wide["difficulty_scale"] > 0).all() and (wide["spacing"] > 0).all()):
        raise ValueError("a number in it is out of range")
    transform = manifest.property.transform
    return Trust(
        transform=transform,
        lower=lower,
        upper=upper,
        reference=Reference.of(
            projection,
            places,
            formulas,
            labels,
            apply_transform(labels, transform),
            wide["errors"],
            _single(wide["spacing"]),
        ),
        difficulty=Difficulty(wide["difficulty_scale"], wide["difficulty_weights"], intercept),
        scores=ScoreTable(_single(wide["scores"]), wide["shares"]),
        limit=limit,
        held_out=_held_out(tensors, projection.matrix.shape[1]),
    )


def _held_out(tensors: dict[str, npt.NDArray[Any]], n_components: int) -> HeldOut:
    """None in files from before they were kept. Raises ValueError for parts that do not fit each other."""
    if "held_out_formulas" not in tensors:
        return HeldOut()
    formulas, features = _unpacked(tensors["held_out_formulas"]), tensors["held_out_features"]
    if features.shape != (len(formulas), n_components):
        raise ValueError(f"held-out rows do not fit each other: {len(formulas)} formulas, places {features.shape}")
    return HeldOut(formulas, features.astype(np.float32))


def _packed(formulas: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(_SEPARATOR.join(formulas).encode(), dtype=np.uint8)


def _unpacked(characters: npt.NDArray[Any]) -> tuple[str, ...]:
    return tuple(characters.astype(np.uint8).tobytes().decode().split(_SEPARATOR))


def _require_fitting(shapes: dict[str, tuple[int, ...]], n_rows: int) -> None:
    """Raises ValueError when the parts do not fit each other and the number of formulas."""
    n_features, n_components = shapes["matrix"]
    expected = {
        "mean": (n_features,),
        "features": (n_rows, n_components),
        "compositions": (n_rows, element_coordinates().shape[1]),
        "labels": (n_rows,),
        "errors": (n_rows,),
        "spacing": (n_rows, 2),
        "shares": shapes["scores"],
        "difficulty_scale": (N_FEATURES,),
        "difficulty_weights": (N_FEATURES,),
        "numbers": (4,),
    }
    wrong = [name for name, shape in expected.items() if shapes[name] != shape]
    if wrong or n_rows < _FEWEST_ROWS:
        raise ValueError(f"its parts do not fit each other ({', '.join(wrong) or 'too few rows'})")


def _single(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return array.astype(np.float32)
