"""Which column holds the structure or composition, which the label, which the id."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.core.errors import DatasetInvalid
from app.datasets.rows import RowKind
from app.properties.catalogue import CATALOGUE
from app.structures.archive import shown_name

INPUT_COLUMNS = {
    "cif": RowKind.CIF,
    "poscar": RowKind.POSCAR,
    "structure": RowKind.UNKNOWN,
    "composition": RowKind.COMPOSITION,
    "formula": RowKind.COMPOSITION,
}
"""In order of preference: a structure says more than a composition."""

TARGET_COLUMN = "target"
ID_COLUMN = "id"

_SHOWN_COLUMNS = 30
_NOT_A_VALUE = re.compile(r"_(log\w*|ln|std|stdev|err|error|unc|uncertainty|type|units?|source|method)(_|$)")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names as the file writes them; `id` is None when the file has no such column, `label` when none was wanted."""

    input: str
    kind: RowKind
    label: str | None
    id: str | None
    notes: tuple[str, ...] = ()


def find_columns(names: Sequence[str], property_key: str | None) -> Columns:
    """Choose by name, whatever the case; no label without a property.

    DatasetInvalid says which columns there are and which were needed.
    """
    labels = (TARGET_COLUMN, property_key.lower()) if property_key is not None else ()
    by_name: dict[str, str] = {}
    for name in names:
        is_known = _plain(name) in by_name
        is_read = is_input_column(name) or _plain(name) in (ID_COLUMN, *labels)
        if by_name.setdefault(_plain(name), name) != name or (is_known and is_read):
            raise DatasetInvalid(f"Two columns are called {name!r}, but for the case: rename or remove one.")
    present = [name for name in INPUT_COLUMNS if name in by_name]
    if not present:
        raise DatasetInvalid(
            f"No column holds structures or compositions: one of {', '.join(INPUT_COLUMNS)} is needed. "
            f"{_columns_there(names)}{_advice_without_header(names)}"
        )
    label, notes = _label_column(by_name, names, property_key) if property_key is not None else (None, [])
    if len(present) > 1:
        notes.append(f"Column {by_name[present[0]]!r} was read; {_quoted(by_name[n] for n in present[1:])} was not.")
    chosen = present[0]
    return Columns(by_name[chosen], INPUT_COLUMNS[chosen], label, by_name.get(ID_COLUMN), tuple(notes))


def is_input_column(name: str) -> bool:
    return _plain(name) in INPUT_COLUMNS


def _label_column(by_name: dict[str, str], names: Sequence[str], key: str) -> tuple[str, list[str]]:
    key = key.lower()
    for exact in (key, TARGET_COLUMN):
        if exact in by_name:
            return by_name[exact], []
    longer = [other for other in CATALOGUE if other != key and other.startswith(key)]
    candidates = [
        name
        for name in by_name
        if name.startswith(f"{key}_") and not _NOT_A_VALUE.search(name) and not name.startswith(tuple(longer))
    ]
    if len(candidates) == 1:
        chosen = by_name[candidates[0]]
        return chosen, [f"The labels were read from column {chosen!r}."]
    if candidates:
        raise DatasetInvalid(
            f"Several columns may hold {key}: {_quoted(by_name[c] for c in candidates)}. Rename the right one "
            f"to {key!r} or {TARGET_COLUMN!r}."
        )
    raise DatasetInvalid(f"No column holds the labels: {key!r} or {TARGET_COLUMN!r} is needed. {_columns_there(names)}")


def _plain(name: str) -> str:
    return name.strip().strip('"').lower()


def _columns_there(names: Sequence[str]) -> str:
    shown = ", ".join(shown_name(name.strip())[:40] for name in names[:_SHOWN_COLUMNS])
    more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
    return f"The file has: {shown}{more}."


def _advice_without_header(names: Sequence[str]) -> str:
    has_number = any(re.fullmatch(r"\s*-?[0-9.]+([eE][-+]?[0-9]+)?\s*", name) for name in names)
    return " The first line must hold the names of the columns." if has_number else ""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
