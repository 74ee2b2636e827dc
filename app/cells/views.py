"""From crystals to answers."""

from collections.abc import Sequence

import numpy as np

from app.cells.schemas import CellRead, SiteRead, StructureFailed, StructureRead, StructuresAnswer
from app.core.errors import InputKindMismatch
from app.predictions.inputs import FailedInput, ReadInput
from app.structures.crystal import Crystal, FloatArray
from app.structures.elements import SYMBOLS

_LENGTH_DECIMALS = 6
_FRACTION_DECIMALS = 9
_COMPOSITION = InputKindMismatch("This is a composition: it has no cell.")


def structures_read(entries: Sequence[ReadInput | FailedInput]) -> StructuresAnswer:
    answer = StructuresAnswer(structures=[], errors=[])
    for entry in entries:
        if isinstance(entry, ReadInput) and isinstance(entry.item, Crystal):
            answer.structures.append(_structure(entry.id, entry.item))
        else:
            error = entry.error if isinstance(entry, FailedInput) else _COMPOSITION
            answer.errors.append(StructureFailed(input_id=entry.id, code=error.code, detail=error.detail))
    return answer


def _structure(input_id: str, crystal: Crystal) -> StructureRead:
    fractions = np.round(crystal.fractional_coordinates % 1.0, _FRACTION_DECIMALS) % 1.0
    return StructureRead(
        input_id=input_id,
        formula=crystal.reduced_formula,
        n_sites=crystal.n_sites,
        elements=crystal.element_counts,
        cell=_cell(crystal.lattice, crystal.volume),
        sites=[
            SiteRead(element=SYMBOLS[number], position=position)
            for number, position in zip(crystal.atomic_numbers.tolist(), fractions.tolist(), strict=True)
        ],
        notes=list(crystal.notes),
    )


def _cell(lattice: FloatArray, volume: float) -> CellRead:
    lengths = np.linalg.norm(lattice, axis=1)
    directions = lattice / lengths[:, None]
    cosines = np.clip(directions @ directions.T, -1.0, 1.0)
    alpha, beta, gamma = np.degrees(np.arccos([cosines[1, 2], cosines[0, 2], cosines[0, 1]])).round(_LENGTH_DECIMALS)
    a, b, c = lengths.round(_LENGTH_DECIMALS).tolist()
    return CellRead(
        vectors=lattice.round(_LENGTH_DECIMALS).tolist(), a=a, b=b, c=c,
        alpha=float(alpha), beta=float(beta), gamma=float(gamma), volume=round(volume, _LENGTH_DECIMALS),
    )  # fmt: skip
