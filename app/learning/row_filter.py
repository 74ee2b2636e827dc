"""Which rows of a source a model sees: rules as data. Importable without torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Only:
    """Rows with this value in a text column of the source; `others` says in words what the rest are."""

    column: str
    value: str
    others: str


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Rules in the order in which they apply; a row counts for the first that leaves it out.

    `lower`/`upper` bound the labels kept (in the property's unit, exclusive / inclusive), for the stated reason.
    `max_sites` bounds the atoms of a cell. `without_formulas_of` names Parquet files beside the source: no formula of
    theirs (column `formula`, compared as reduced compositions) is kept, nor one of `without_formulas`. `n_rows` of
    what is then left are kept, drawn at random with `seed`; fewer rows are always among more.
    """

    lower: float | None = None
    upper: float | None = None
    bound_reason: str = ""
    max_sites: int | None = None
    only: tuple[Only, ...] = ()
    without_formulas_of: tuple[str, ...] = ()
    without_formulas: frozenset[str] = frozenset()
    n_rows: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for bounds without a reason, which would stand on no model card."""
        if (self.lower is not None or self.upper is not None) and not self.bound_reason:
            raise ValueError("bound_reason must say why labels are bounded")
