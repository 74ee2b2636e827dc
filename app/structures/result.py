"""What a reader hands back for each structure of a text."""

from typing import NamedTuple

from app.core.errors import StructureError
from app.structures.crystal import Crystal


class StructureResult(NamedTuple):
    """One structure of a text: exactly one of `crystal` and `error` is set. `block_name` is the CIF block's."""

    block_name: str
    crystal: Crystal | None
    error: StructureError | None
