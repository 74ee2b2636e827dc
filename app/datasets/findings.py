"""What stands out among usable rows: repeats, contradictions, outliers, coverage of the periodic table."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from app.datasets.report import DuplicateRow, Histogram, LabelConflict, LabelStatistics, Outlier, SimilarRows
from app.datasets.rows import RawRow
from app.datasets.validation import UsableRow, number_of
from app.properties.catalogue import PropertySpec, Transform
from app.structures.crystal import Crystal, FloatArray
from app.structures.formula import Composition

OUTLIER_ROBUST_Z = 6.0
MIN_ROWS_FOR_OUTLIERS = 20

_SAME_LABEL_RELATIVE = 1e-3
_SAME_LABEL_ABSOLUTE = 1e-9
_GAUSSIAN_MAD = 1.4826
_MIN_BINS, _MAX_BINS = 10, 40
_SAME_TO_ROUNDING = 1e-12
_SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)
_LENGTH_DECIMALS = 3
_AMOUNT_DECIMALS = 6


def formula_of(item: Crystal | Composition) -> str:
    """Reduced formula of a crystal; of a composition the atomic fractions decide, so that Fe2O3 equals Fe4O6."""
    if isinstance(item, Crystal):
        return item.reduced_formula
    smallest = min(item.amounts.values())
    scaled = {symbol: round(amount / smallest, _AMOUNT_DECIMALS) for symbol, amount in sorted(item.amounts.items())}
    return "".join(f"{symbol}{'' if amount == 1 else format(amount, 'g')}" for symbol, amount in scaled.items())


def elements_of(item: Crystal | Composition) -> Iterable[str]:
    return item.element_counts if isinstance(item, Crystal) else item.amounts


def drop_duplicates(rows: Sequence[UsableRow]) -> tuple[list[UsableRow], list[DuplicateRow]]:
    """Rows without those that repeat an earlier one's input and label, and the ones left out."""
    kept: list[UsableRow] = []
    duplicates: list[DuplicateRow] = []
    by_input: dict[str, list[UsableRow]] = defaultdict(list)
    for row in rows:
        earlier = by_input[_input_key(row.item)]
        first = next((other for other in earlier if _same_label(other.target, row.target)), None)
        if first is not None:
            duplicates.append(DuplicateRow(row_id=row.row_id, first_row_id=first.row_id))
            continue
        earlier.append(row)
        kept.append(row)
    return kept, duplicates


def find_conflicts(rows: Sequence[UsableRow]) -> list[LabelConflict]:
    """Inputs with several labels, the widest contradiction first. Expects rows without duplicates."""
    groups = _grouped(rows, lambda row: _input_key(row.item))
    groups.sort(key=lambda group: -float(np.ptp([row.target for row in group])))
    return [
        LabelConflict(
            formula=formula_of(group[0].item),
            row_ids=[row.row_id for row in group],
            values=[row.target for row in group],
        )
        for group in groups
    ]


def find_similar(rows: Sequence[UsableRow]) -> list[SimilarRows]:
    """Crystals of one formula and label whose structures differ. Expects rows without duplicates."""
    crystals = [row for row in rows if isinstance(row.item, Crystal) and row.target != 0]
    groups = _grouped(crystals, lambda row: f"{formula_of(row.item)} {row.target:.4g}")
    return [SimilarRows(formula=formula_of(group[0].item), row_ids=[row.row_id for row in group]) for group in groups]


def find_outliers(rows: Sequence[UsableRow], spec: PropertySpec) -> list[Outlier]:
    """Labels more than 6 robust standard deviations from the median of the learned scale, farthest first."""
    if len(rows) < MIN_ROWS_FOR_OUTLIERS:
        return []
    targets = np.array([row.target for row in rows])
    learned = np.log10(targets) if spec.transform is Transform.LOG10 else targets
    deviation = np.abs(learned - np.median(learned))
    spread = _GAUSSIAN_MAD * float(np.median(deviation))
    if spread == 0:
        return []
    z = deviation / spread
    order = [int(i) for i in np.argsort(-z) if z[i] > OUTLIER_ROBUST_Z]
    return [Outlier(row_id=rows[i].row_id, value=rows[i].target, robust_z=round(float(z[i]), 2)) for i in order]


def label_statistics(rows: Sequence[UsableRow], spec: PropertySpec) -> LabelStatistics | None:
    if not rows:
        return None
    targets = np.array([row.target for row in rows])
    return LabelStatistics(
        unit=spec.unit,
        min=float(targets.min()),
        max=float(targets.max()),
        mean=float(targets.mean()),
        median=float(np.median(targets)),
        std=float(targets.std()),
        mad=float(np.abs(targets - targets.mean()).mean()),
        histogram=_histogram(targets, spec.transform),
    )


def count_elements(rows: Sequence[UsableRow]) -> dict[str, int]:
    """Rows that hold each element, most frequent first."""
    return dict(Counter(symbol for row in rows for symbol in elements_of(row.item)).most_common())


def labels_look_like_log10(rows: Sequence[RawRow], spec: PropertySpec) -> bool:
    """Whether all labels of a property learned as log10 are so small that they are probably logarithms already."""
    if spec.transform is not Transform.LOG10 or spec.upper is None:
        return False
    numbers = [number for row in rows if (number := number_of(row.label)) is not None]
    return len(numbers) >= MIN_ROWS_FOR_OUTLIERS and 0 < max(numbers) <= np.log10(spec.upper)


def are_equal(labels: LabelStatistics) -> bool:
    """But for rounding."""
    return _are_one(labels.min, labels.max)


def _are_one(low: float, high: float) -> bool:
    return high - low <= _SAME_TO_ROUNDING * max(abs(low), abs(high), _SMALLEST_NORMAL)


def _histogram(targets: FloatArray, transform: Transform) -> Histogram:
    """About sqrt(n) bins, equally wide on the learned scale."""
    is_log = transform is Transform.LOG10
    n_bins = int(np.clip(np.sqrt(len(targets)), _MIN_BINS, _MAX_BINS))
    learned = np.log10(targets) if is_log else targets
    low, high = float(learned.min()), float(learned.max())
    if _are_one(low, high):
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(learned, n_bins, (low, high))
    return Histogram(scale=transform, edges=(10**edges if is_log else edges).tolist(), counts=counts.tolist())


def _grouped(rows: Sequence[UsableRow], key: Callable[[UsableRow], str]) -> list[list[UsableRow]]:
    groups: dict[str, list[UsableRow]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return [group for group in groups.values() if len(group) > 1]


def _same_label(a: float, b: float) -> bool:
    return abs(a - b) <= max(_SAME_LABEL_ABSOLUTE, _SAME_LABEL_RELATIVE * max(abs(a), abs(b)))


def _input_key(item: Crystal | Composition) -> str:
    """Equal for the same description of a crystal, whatever the order of its sites; for a composition its formula."""
    if isinstance(item, Composition):
        return formula_of(item)
    lattice = np.round(item.lattice @ item.lattice.T, _LENGTH_DECIMALS) + 0.0
    places = np.round(item.fractional_coordinates % 1.0, _LENGTH_DECIMALS) % 1.0 + 0.0
    sites = np.column_stack([item.atomic_numbers, places])
    ordered = sites[np.lexsort(sites.T[::-1])]
    return hashlib.sha256(lattice.tobytes() + ordered.tobytes()).hexdigest()
