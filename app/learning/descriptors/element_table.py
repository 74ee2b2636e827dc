"""Tabulated properties of the elements that composition descriptors are made of."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from app.structures.elements import MAX_ATOMIC_NUMBER, SYMBOLS

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ElementTable:
    """Rows are atomic numbers, 0 to 100; row 0 is zero.

    Dimensions: K properties.
        names                 of the K properties
        values                (101, K) float64, units as in `element_properties.json`
        electronegativity     (101,) float64, Pauling's
        oxidation_states      common ones of each element, row 0 and some noble gases have none
        imputed               property -> symbols of the elements that have no value of their own, but the mean of all
    """

    names: tuple[str, ...]
    values: FloatArray
    electronegativity: FloatArray
    oxidation_states: tuple[tuple[int, ...], ...]
    imputed: dict[str, tuple[str, ...]]


@cache
def element_table() -> ElementTable:
    """The table of the package; read once."""
    path = files("app.learning.descriptors").joinpath("element_properties.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    properties: dict[str, list[float]] = document["properties"]
    values = np.zeros((MAX_ATOMIC_NUMBER + 1, len(properties)))
    values[1:] = np.array(list(properties.values()), dtype=np.float64).T
    return ElementTable(
        names=tuple(properties),
        values=values,
        electronegativity=np.array([0.0, *document["pauling_electronegativity"]]),
        oxidation_states=((), *(tuple(states) for states in document["oxidation_states"])),
        imputed={name: tuple(symbols) for name, symbols in document["imputed"].items()},
    )


def imputed_properties(atomic_numbers: npt.NDArray[np.int64]) -> dict[str, tuple[str, ...]]:
    """Which properties of which of these elements are not tabulated and were replaced by the mean of all elements."""
    present = {SYMBOLS[z] for z in np.unique(atomic_numbers).tolist()}
    found = {name: tuple(s for s in symbols if s in present) for name, symbols in element_table().imputed.items()}
    return {name: symbols for name, symbols in found.items() if symbols}
