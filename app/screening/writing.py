"""Crystals as text."""

import numpy as np

from app.structures.crystal import Crystal
from app.structures.elements import SYMBOLS


def poscar_text(crystal: Crystal, title: str) -> str:
    """VASP 5 POSCAR in fractional coordinates; sites of one element come together."""
    order = np.argsort(crystal.atomic_numbers, kind="stable")
    numbers, counts = np.unique(crystal.atomic_numbers, return_counts=True)
    lines = [title, "1.0", *(_row(row) for row in crystal.lattice)]
    lines += [" ".join(SYMBOLS[z] for z in numbers.tolist()), " ".join(map(str, counts.tolist())), "Direct"]
    lines += [_row(crystal.fractional_coordinates[site]) for site in order.tolist()]
    return "\n".join(lines) + "\n"


def cif_text(crystal: Crystal, title: str) -> str:
    """CIF without symmetry (P1), every site of the cell listed; `title` is in a comment."""
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    unit = crystal.lattice / lengths[:, None]
    angles = np.degrees(np.arccos(np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1.0, 1.0)))
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = zip(names, (*lengths.tolist(), *angles.tolist()), strict=True)
    lines = [f"# {' '.join(title.split())}", f"data_{crystal.reduced_formula}"]
    lines += [f"_cell_{name} {value:.9f}" for name, value in cell]
    lines += [
        "_symmetry_space_group_name_H-M 'P 1'", "_symmetry_Int_Tables_number 1",
        "loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'",
        "loop_", "_atom_site_label", "_atom_site_type_symbol",
        "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z",
    ]  # fmt: skip
    symbols = [SYMBOLS[z] for z in crystal.atomic_numbers.tolist()]
    lines += [
        f"{symbol}{place} {symbol} {_row(crystal.fractional_coordinates[place - 1])}"
        for place, symbol in enumerate(symbols, start=1)
    ]
    return "\n".join(lines) + "\n"


def _row(values: object) -> str:
    return " ".join(f"{x:.9f}" for x in np.asarray(values).tolist())
