"""Fixed descriptors by the names that manifests use: inputs in, one row of numbers each."""

from collections.abc import Callable, Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from app.core.errors import InputKindMismatch, XtalforgeError
from app.learning.descriptors.bonding import BOND_NAMES, bond_descriptors
from app.learning.descriptors.element_lists import ElementLists
from app.learning.descriptors.magpie import (
    MAGPIE_NAMES,
    PHYSICAL_ATTRIBUTE_NAMES,
    magpie_descriptors,
    physical_attributes,
)
from app.learning.descriptors.soap import SoapSettings, average_soap, pad_rows, soap_row
from app.learning.networks.elemnet import ELEMNET_ELEMENTS, elemental_fractions
from app.structures.crystal import Crystal
from app.structures.elements import MAX_ATOMIC_NUMBER
from app.structures.formula import Composition

Rows = npt.NDArray[np.float32]
DescribedInput = Crystal | Composition


class Descriptor(StrEnum):
    MAGPIE = "magpie"
    PHYSICAL_ATTRIBUTES = "physical_attributes"
    ELEMENTAL_FRACTIONS = "elemental_fractions"
    SOAP = "soap"
    BONDING = "bonding"

    @property
    def needs_structure(self) -> bool:
        """Whether a composition is not enough."""
        return self in (Descriptor.SOAP, Descriptor.BONDING)


VECTOR_NAMES: dict[Descriptor, tuple[str, ...]] = {
    Descriptor.MAGPIE: MAGPIE_NAMES,
    Descriptor.PHYSICAL_ATTRIBUTES: PHYSICAL_ATTRIBUTE_NAMES,
    Descriptor.ELEMENTAL_FRACTIONS: ELEMNET_ELEMENTS,
    Descriptor.BONDING: (*MAGPIE_NAMES, *BOND_NAMES),
}
"""Columns of the descriptors that are vectors."""


def describe(
    descriptor: Descriptor, items: Sequence[DescribedInput], soap: SoapSettings | None = None
) -> tuple[Rows, list[XtalforgeError | None]]:
    """Rows of the inputs that can be described, in order, and the error (or None) of each input.

    Rows are (n, columns) float32, of SOAP (n, P, 1 + block size) as `pad_rows` lays them out, with `soap` (default
    settings when None). Models are fitted to and asked with these very numbers: float32, whatever they compute in.
    """
    if descriptor is Descriptor.SOAP:
        settings = soap or SoapSettings()
        rows, errors = _one_by_one(items, lambda item: _soap(item, settings))
        return pad_rows(rows, settings), errors
    if descriptor is Descriptor.BONDING:
        return _bonding(items)
    if descriptor is Descriptor.ELEMENTAL_FRACTIONS:
        rows, errors = _one_by_one(items, _fractions)
        return np.stack(rows) if rows else np.zeros((0, len(ELEMNET_ELEMENTS)), dtype=np.float32), errors
    compute = magpie_descriptors if descriptor is Descriptor.MAGPIE else physical_attributes
    return compute(items).astype(np.float32), [None] * len(items)


def _one_by_one(
    items: Sequence[DescribedInput], compute: Callable[[DescribedInput], Rows]
) -> tuple[list[Rows], list[XtalforgeError | None]]:
    rows: list[Rows] = []
    errors: list[XtalforgeError | None] = []
    for item in items:
        try:
            rows.append(compute(item))
            errors.append(None)
        except XtalforgeError as error:
            errors.append(error)
    return rows, errors


def _fractions(item: DescribedInput) -> Rows:
    lists = ElementLists.of([item])
    vector = np.zeros(MAX_ATOMIC_NUMBER + 1)
    vector[lists.atomic_numbers[0]] = lists.fractions[0]
    return elemental_fractions(vector)


def _bonding(items: Sequence[DescribedInput]) -> tuple[Rows, list[XtalforgeError | None]]:
    """The Magpie columns, then those of bonds."""
    bonds, errors = _one_by_one(items, lambda item: bond_descriptors(_crystal(item)).astype(np.float32))
    described = [item for item, error in zip(items, errors, strict=True) if error is None]
    rows = np.zeros((len(described), len(VECTOR_NAMES[Descriptor.BONDING])), dtype=np.float32)
    if described:
        rows[:, : len(MAGPIE_NAMES)] = magpie_descriptors(described)
        rows[:, len(MAGPIE_NAMES) :] = np.stack(bonds)
    return rows, errors


def _soap(item: DescribedInput, settings: SoapSettings) -> Rows:
    return soap_row(average_soap(_crystal(item), settings))


def _crystal(item: DescribedInput) -> Crystal:
    if not isinstance(item, Crystal):
        raise InputKindMismatch(
            "This model needs a crystal structure (CIF, POSCAR); a composition has no atoms' places."
        )
    return item
