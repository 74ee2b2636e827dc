"""Rows of tables as candidates."""

from app.core.errors import InvalidInput
from app.datasets.rows import RawRow, RowKind
from app.predictions.inputs import FailedInput, Formula, RawInput, StructureText
from app.structures.detect import StructureFormat


def candidate_of(row: RawRow) -> RawInput | FailedInput:
    """What a row holds; its label is not looked at."""
    if row.problem is not None:
        return FailedInput(row.row_id, InvalidInput(row.problem[1]))
    if row.kind is RowKind.COMPOSITION:
        return RawInput(row.row_id, Formula(row.text))
    fmt = None if row.kind is RowKind.UNKNOWN else StructureFormat(row.kind.value)
    return RawInput(row.row_id, StructureText(row.text, fmt))
