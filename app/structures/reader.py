"""Structure texts and objects in, crystals or reasoned errors out."""

import json
from typing import Any

from app.core.errors import StructureError, StructureTooLarge, UnparsableStructure
from app.structures.cif import read_cif
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat, detect_format
from app.structures.json_formats import structure_from_dict, structures_in
from app.structures.limits import DEFAULT_LIMITS, StructureLimits
from app.structures.poscar import read_poscar
from app.structures.result import StructureResult

__all__ = ["StructureFormat", "StructureResult", "read_structure", "read_structures", "structure_from_dict"]


_NAMES = {StructureFormat.CIF: "CIF", StructureFormat.POSCAR: "POSCAR", StructureFormat.JSON: "JSON"}


def read_structures(
    text: str, fmt: StructureFormat | None = None, name: str = "", limits: StructureLimits = DEFAULT_LIMITS
) -> list[StructureResult]:
    """All structures of a text, at least one result: a CIF gives one for each data block with atom sites.

    Never raises StructureError: what cannot be used is a result with its error. `fmt` is found from the text and the
    file `name` when not given.
    """
    try:
        _check_size(text, limits)
        text = text.lstrip("\ufeff")
        if not text.strip():
            raise UnparsableStructure("The text is empty.")
        chosen = fmt if fmt is not None else detect_format(text, name)
        if fmt is not None:
            _refuse_other_format(text, fmt)
        if chosen is StructureFormat.CIF:
            return read_cif(text, limits)
        if chosen is StructureFormat.POSCAR:
            return [StructureResult("", read_poscar(text, limits), None)]
        return _read_json(text, limits)
    except StructureError as error:
        return [StructureResult("", None, error)]


def read_structure(
    text: str, fmt: StructureFormat | None = None, limits: StructureLimits = DEFAULT_LIMITS, name: str = ""
) -> Crystal:
    """The one structure of a text. Raises its StructureError, or UnparsableStructure when there are several."""
    results = read_structures(text, fmt, name, limits)
    if len(results) > 1:
        names = ", ".join(result.block_name or "unnamed" for result in results[:5])
        raise UnparsableStructure(f"The text holds {len(results)} structures ({names}); send one, or upload the file.")
    _, crystal, error = results[0]
    if error is not None:
        raise error
    if crystal is None:
        raise UnparsableStructure("The text holds no structure.")
    return crystal


def _check_size(text: str, limits: StructureLimits) -> None:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise UnparsableStructure("The text holds characters that are not valid Unicode.") from None
    if size > limits.max_bytes:
        raise StructureTooLarge(f"The text has {size} bytes; at most {limits.max_bytes} are read.", size_bytes=size)


def _refuse_other_format(text: str, fmt: StructureFormat) -> None:
    try:
        found = detect_format(text)
    except UnparsableStructure:
        return
    # A CIF may begin like anything, and what merely resembles another format is left to the format's own reader.
    if found is not fmt and found is not StructureFormat.CIF:
        raise UnparsableStructure(f"The text is no {_NAMES[fmt]}; it looks like {_NAMES[found]}.")


def _read_json(text: str, limits: StructureLimits) -> list[StructureResult]:
    try:
        data: Any = json.loads(text)
    except ValueError as error:
        raise UnparsableStructure(f"The text is not valid JSON: {str(error)[:200]}.") from None
    except RecursionError:
        raise UnparsableStructure("The JSON is nested too deeply.") from None
    items = structures_in(data)
    if not items:
        raise UnparsableStructure("The JSON holds no structure.")
    if len(items) > limits.max_blocks:
        raise StructureTooLarge(f"The JSON holds {len(items)} structures; at most {limits.max_blocks} are read.")
    return [_json_result(item, limits) for item in items]


def _json_result(item: dict[str, Any], limits: StructureLimits) -> StructureResult:
    name = str(item.get("id", ""))[:100] if isinstance(item, dict) else ""
    try:
        return StructureResult(name, structure_from_dict(item, limits), None)
    except StructureError as error:
        return StructureResult(name, None, error)
