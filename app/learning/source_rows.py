"""Rows of a source file, and which of them a rule keeps."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from app.core.errors import XtalforgeError
from app.learning.row_filter import RowFilter
from app.learning.samples import composition_key
from app.structures.composition import parse_composition

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Readable rows of a source file. `rows` (n,) are their places in it; labels (n,) NaN where unknown.

    `keys` are their reduced compositions, `sizes` (n,) the atoms of their cells.
    """

    path: Path
    rows: IntArray
    labels: FloatArray
    keys: Sequence[str]
    sizes: IntArray


def select_rows(rules: RowFilter, source: SourceRows) -> tuple[IntArray, tuple[str, ...]]:
    """Indices into the source's rows that are kept, ascending, and one line on what each rule left out.

    Raises FileNotFoundError for a missing file of formulas, and ValueError when there are fewer rows than `n_rows`.
    """
    kept = np.ones(len(source.labels), dtype=bool)
    lines = []
    for mask, reason in _rules(rules, source):
        lines.append(f"{int((kept & ~mask).sum())} rows left out: {reason}")
        kept &= mask
    chosen = np.flatnonzero(kept)
    if rules.n_rows is not None:
        if rules.n_rows > len(chosen):
            raise ValueError(f"{rules.n_rows} rows are wanted of {source.path.name}, but only {len(chosen)} are left.")
        lines.append(
            f"{len(chosen) - rules.n_rows} rows left out: not among {rules.n_rows} drawn at random (seed {rules.seed})"
        )
        chosen = np.sort(np.random.default_rng(rules.seed).permutation(chosen)[: rules.n_rows])
    return chosen, tuple(lines)


def _rules(rules: RowFilter, source: SourceRows) -> list[tuple[Mask, str]]:
    """Each rule that is set: which rows pass (n,), and what the others are."""
    labels = source.labels
    known = ~np.isnan(labels)
    found = [(known, "no label")]
    if rules.bound_reason:
        above = np.ones_like(known) if rules.lower is None else ~(labels <= rules.lower)
        below = np.ones_like(known) if rules.upper is None else ~(labels > rules.upper)
        found.append((above & below, rules.bound_reason))
    if rules.max_sites is not None:
        found.append((source.sizes <= rules.max_sites, f"more than {rules.max_sites} sites"))
    for only in rules.only:
        column = np.array(pq.read_table(source.path, columns=[only.column]).column(0).to_pylist(), dtype=object)
        found.append((column[source.rows] == only.value, only.others))
    for name in rules.without_formulas_of:
        path = source.path.parent / name
        found.append((_without(source.keys, _formulas(path)), f"formulas of {path.name} (sha256 {file_digest(path)})"))
    if rules.without_formulas:
        given = rules.without_formulas
        found.append((_without(source.keys, given), f"{len(given)} formulas given one by one"))
    return found


def _without(keys: Sequence[str], unwanted: frozenset[str]) -> Mask:
    return np.array([key not in unwanted for key in keys], dtype=bool)


def _formulas(path: Path) -> frozenset[str]:
    """Reduced compositions of a file; formulas that cannot be read have none."""
    found = set()
    for formula in set(pq.read_table(path, columns=["formula"]).column(0).to_pylist()):
        try:
            found.add(composition_key(parse_composition(formula)))
        except XtalforgeError:
            continue
    return frozenset(found)


def file_digest(path: Path) -> str:
    """sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
