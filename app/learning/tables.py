"""Labelled inputs, and what is left of them once they are featurised."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidJob
from app.learning.representations import Representation
from app.learning.samples import ModelInput, Samples, composition_key, elements_of, make_samples
from app.learning.splits import Split
from app.properties.catalogue import Transform
from app.structures.elements import SYMBOLS

FloatArray = npt.NDArray[np.float64]

_MIN_ROWS = 10


@dataclass(frozen=True, slots=True)
class TrainingTable:
    """Labelled inputs. `targets` (n,) in the property's unit; `row_ids` name the rows to the user."""

    items: Sequence[ModelInput]
    targets: FloatArray
    row_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class PreparedTable:
    """Featurised inputs with labels, composition keys (for splitting) and elements of all rows.

    Rows whose key is in `always_train` are never held out. `split` is used as it is where it is given; else the
    hyperparameters say how rows are split.
    """

    samples: Samples
    labels: FloatArray
    keys: Sequence[str]
    elements: Sequence[str]
    filters: tuple[str, ...] = ()
    always_train: tuple[str, ...] = ()
    split: Split | None = None


def prepare(table: TrainingTable, representation: Representation) -> PreparedTable:
    """Featurise a table; rows that cannot be are left out and counted in `filters`.

    Raises InvalidJob when fewer than 10 rows are left.
    """
    samples, errors = make_samples(table.items, representation)
    good = [index for index, error in enumerate(errors) if error is None]
    if len(good) < _MIN_ROWS:
        first = next((str(error) for error in errors if error is not None), "the data set is too small")
        raise InvalidJob(f"Only {len(good)} rows can be used, {_MIN_ROWS} are needed: {first}")
    codes: dict[str, int] = {}
    for error in errors:
        if error is not None:
            codes[error.code] = codes.get(error.code, 0) + 1
    items = [table.items[index] for index in good]
    return PreparedTable(
        samples=samples,
        labels=np.asarray(table.targets, dtype=np.float64)[good],
        keys=[composition_key(item) for item in items],
        elements=[SYMBOLS[z] for z in sorted(set().union(*(elements_of(item) for item in items)))],
        filters=tuple(f"{count} rows left out: {code}" for code, count in sorted(codes.items())),
    )


def require_usable(labels: FloatArray, transform: Transform) -> None:
    """Raises InvalidJob for labels, in physical units, that cannot be learned from."""
    unusable = ~np.isfinite(labels) | ((labels <= 0) if transform is Transform.LOG10 else False)
    if np.any(unusable):
        need = "be positive, since their logarithm is learned" if transform is Transform.LOG10 else "be finite numbers"
        raise InvalidJob(
            f"{int(unusable.sum())} labels cannot be used, the first is {labels[unusable][0]:g}: they must {need}."
        )
