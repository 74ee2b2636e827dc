"""A table as it was sent, before anything in it is believed."""

from dataclasses import dataclass, field
from enum import StrEnum


class RowKind(StrEnum):
    """What the text of a row is."""

    CIF = "cif"
    POSCAR = "poscar"
    JSON = "json"
    COMPOSITION = "composition"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row. `line` counts from 1 where the row begins; `problem` is set when it could not even be taken apart."""

    line: int
    row_id: str
    kind: RowKind
    text: str
    label: str
    problem: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RawTable:
    """All rows, which columns they came from, and what the user should know about the choice."""

    format: str
    input_column: str
    label_column: str
    rows: list[RawRow]
    notes: list[str] = field(default_factory=list)
