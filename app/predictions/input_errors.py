"""What may be wrong with a structure or composition: the code of one item, or of the whole answer if all have it."""

from app.core.errors import (
    CoincidentAtoms,
    DisorderedStructure,
    InputKindMismatch,
    InvalidArchive,
    InvalidComposition,
    IsolatedAtom,
    MissingCell,
    NoAtoms,
    StructureTooLarge,
    UnparsableStructure,
    UnphysicalStructure,
    UnsupportedElement,
    XtalforgeError,
)

INPUT_ERRORS: tuple[type[XtalforgeError], ...] = (
    UnparsableStructure, DisorderedStructure, StructureTooLarge, MissingCell, NoAtoms, CoincidentAtoms,
    UnphysicalStructure, UnsupportedElement, IsolatedAtom, InvalidComposition, InputKindMismatch, InvalidArchive,
)  # fmt: skip
