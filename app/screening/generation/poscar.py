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


def _row(values: object) -> str:
    return " ".join(f"{x:.9f}" for x in np.asarray(values).tolist())
