"""CIF texts built in code, for tests."""

from collections.abc import Sequence

CUBIC = (5.0, 5.0, 5.0, 90.0, 90.0, 90.0)
SITE_COLUMNS = ("label", "fract_x", "fract_y", "fract_z")


def cell_lines(cell: Sequence[object] = CUBIC) -> str:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    return "".join(f"_cell_{name} {value}\n" for name, value in zip(names, cell, strict=True))


def cif_text(
    rows: Sequence[str],
    *,
    cell: Sequence[object] | None = CUBIC,
    columns: Sequence[str] = SITE_COLUMNS,
    extra: str = "",
    name: str = "test",
) -> str:
    """A data block with the given site rows; `extra` holds any further items."""
    sites = "".join(f"_atom_site_{column}\n" for column in columns)
    loop = f"loop_\n{sites}" + "".join(f"{row}\n" for row in rows) if rows else ""
    return f"data_{name}\n{cell_lines(cell) if cell is not None else ''}{extra}{loop}"


def operations_loop(operations: Sequence[str], tag: str = "_space_group_symop_operation_xyz") -> str:
    return f"loop_\n{tag}\n" + "".join(f"'{operation}'\n" for operation in operations)
