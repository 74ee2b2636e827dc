"""Row by row: is there a material, is there a label, can both be meant. Never raises for what a row holds."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from app.core.errors import InvalidInput
from app.datasets.report import RowFailure
from app.datasets.rows import RawRow, RowKind
from app.properties.catalogue import PropertySpec, Transform
from app.structures.composition import NAN_IS_MISSING, parse_composition
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat, detect_format
from app.structures.formula import Composition
from app.structures.reader import read_structure

_MISSING = {"", "nan", "na", "n/a", "none", "null", "-"}
# "Na" is sodium and "NA" a slip for it, so they are not among these.
_MISSING_INPUT = {"", "nan", "n/a", "null", "-"}


LARGEST_LABEL = 1e100
"""Its square is a number still."""


@dataclass(frozen=True, slots=True)
class UsableRow:
    """A row that can be learned from; `target` in the property's unit."""

    row_id: str
    kind: RowKind
    text: str
    target: float
    item: Crystal | Composition


class _Unusable(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def validate_rows(rows: Iterable[RawRow], spec: PropertySpec) -> tuple[list[UsableRow], list[RowFailure]]:
    """Each row is in one of the two lists. Ids are made unique by `~2`, `~3` at their end."""
    usable: list[UsableRow] = []
    failures: list[RowFailure] = []
    taken: set[str] = set()
    for row in rows:
        try:
            usable.append(_usable(row, _unique(row.row_id, taken), spec))
        except _Unusable as error:
            failures.append(RowFailure(line=row.line, row_id=row.row_id[:100], code=error.code, detail=error.detail))
    return usable, failures


def parse_item(kind: RowKind, text: str) -> Crystal | Composition:
    """The material of a row; raises StructureError or InvalidComposition."""
    if kind is RowKind.COMPOSITION:
        return parse_composition(text)
    return read_structure(text, StructureFormat(kind.value))


def number_of(label: str) -> float | None:
    """The label as a finite number, None when it is none."""
    value = _parsed(label)
    return value if value is not None and math.isfinite(value) else None


def _parsed(label: str) -> float | None:
    if "_" in label:
        return None  # Python alone reads 1_000 as a number
    try:
        return float(label)
    except ValueError:
        return None


def _usable(row: RawRow, row_id: str, spec: PropertySpec) -> UsableRow:
    if row.problem is not None:
        raise _Unusable(*row.problem)
    text = row.text.strip()
    if text.lower() in _MISSING_INPUT:
        nitride = f" {NAN_IS_MISSING}" if text == "NaN" else ""
        raise _Unusable("missing_input", f"The row has no structure and no composition.{nitride}")
    target = _target(row.label.strip(), spec)
    try:
        kind = row.kind if row.kind is not RowKind.UNKNOWN else RowKind(detect_format(row.text).value)
        item = parse_item(kind, row.text)
    except InvalidInput as error:
        raise _Unusable(error.code, error.detail) from error
    return UsableRow(row_id, kind, row.text, target, item)


def _target(label: str, spec: PropertySpec) -> float:
    if label.lower() in _MISSING:
        raise _Unusable("label_missing", "The row has no label.")
    value = number_of(label)
    if value is None:
        raise _no_number(label)
    if spec.transform is Transform.LOG10 and value <= 0:
        reason = f"{_quantity(value, spec)} has no logarithm, and the {spec.label} is learned as log10."
        raise _Unusable("label_not_positive", reason)
    if abs(value) > LARGEST_LABEL:
        raise _Unusable("label_out_of_range", f"A label of {value:g} is too large to compute with.")
    low, high = spec.lower, spec.upper
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"{'-inf' if low is None else format(low, 'g')} to {'inf' if high is None else format(high, 'g')}"
        raise _Unusable("label_out_of_range", f"A {spec.label} of {_quantity(value, spec)} is not physical ({bounds}).")
    return value


def _quantity(value: float, spec: PropertySpec) -> str:
    return f"{value:g} {spec.unit}" if spec.unit != "1" else f"{value:g}"


def _no_number(label: str) -> _Unusable:
    if _parsed(label) is None:
        hint = " Write decimals with a point." if number_of(label.replace(",", ".")) is not None else ""
        return _Unusable("label_not_a_number", f"The label {label[:60]!r} is not a number.{hint}")
    return _Unusable("label_not_finite", f"The label {label[:60]!r} is not finite.")


def _unique(row_id: str, taken: set[str]) -> str:
    unique, n = row_id, 1
    while unique in taken:
        n += 1
        unique = f"{row_id}~{n}"
    taken.add(unique)
    return unique
