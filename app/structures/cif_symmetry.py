"""The symmetry operations a CIF data block states, in whichever of the usual ways it does."""

import re

import gemmi
from gemmi import cif

from app.core.errors import StructureTooLarge, UnparsableStructure
from app.structures.limits import StructureLimits
from app.structures.symmetry import Operations, operations_from_triplets

_OPERATION_TAGS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop.operation_xyz",
    "_symmetry_equiv.pos_as_xyz",
)
_MAGNETIC_TAGS = (
    ("_space_group_symop_magn_operation.xyz", "_space_group_symop_magn_centering.xyz"),
    ("_space_group_symop.magn_operation_xyz", "_space_group_symop.magn_centering_xyz"),
    ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz"),
)
_MODULATED_TAGS = ("_cell_modulation_dimension", "_space_group_symop_ssg_operation_algebraic")
_HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall", "_space_group.name_Hall")
_NAME_TAGS = (
    "_space_group_name_H-M_alt",
    "_symmetry_space_group_name_H-M",
    "_space_group.name_H-M_alt",
    "_space_group_name_H-M_full",
    "_symmetry.space_group_name_H-M",
)
_NUMBER_TAGS = ("_space_group_IT_number", "_symmetry_Int_Tables_number", "_space_group.IT_number")
MAX_TEXT = 100
_NULL = ("?", ".")
_ORIGIN_SUFFIX = {"S": ":1", "Z": ":2", "O1": ":1", "O2": ":2"}
SYMMETRY_TAGS = (
    *_OPERATION_TAGS,
    *(tag for pair in _MAGNETIC_TAGS for tag in pair),
    *_MODULATED_TAGS,
    *_HALL_TAGS,
    *_NAME_TAGS,
    *_NUMBER_TAGS,
)
"""Every tag the symmetry of a block may be read from."""

_NO_SYMMETRY_NOTE = "the file states no symmetry: the atoms were taken as the whole cell (P 1)"


def block_operations(block: cif.Block, gamma: float, limits: StructureLimits) -> tuple[Operations, tuple[str, ...]]:
    """Operations of a block and notes on what was assumed. `gamma` (degrees) tells hexagonal from rhombohedral axes.

    Listed operations count first, then the Hall symbol, the Hermann-Mauguin symbol, the number. Raises
    UnparsableStructure for symmetry that is stated but cannot be understood: P 1 in its place would be another crystal.
    """
    for tag in _MODULATED_TAGS:
        if _has_value(block, tag):
            raise UnparsableStructure(
                f"The structure is modulated ({tag} is given): it has no three-dimensional unit cell to predict from."
            )
    triplets = _texts(block, _OPERATION_TAGS)
    if triplets:
        return _read_operations(triplets, limits), _contradiction(block, triplets)
    for operation_tag, centring_tag in _MAGNETIC_TAGS:
        triplets = _texts(block, (operation_tag,))
        if triplets:
            centrings = _texts(block, (centring_tag,)) or ("x,y,z",)
            _refuse_many(len(centrings) * len(triplets), limits)
            operations = _read_operations(_without_time(centrings), limits).times(
                _read_operations(_without_time(triplets), limits)
            )
            return operations, ("magnetic moments were left out",)
    return _named_operations(block, gamma, limits)


def _named_operations(block: cif.Block, gamma: float, limits: StructureLimits) -> tuple[Operations, tuple[str, ...]]:
    hall = _first_text(block, _HALL_TAGS)
    if hall is not None:
        try:
            group = gemmi.symops_from_hall(hall)
        except (RuntimeError, ValueError):
            raise UnparsableStructure(f"The Hall symbol {hall[:60]!r} is not known.") from None
        return _read_operations(tuple(op.triplet() for op in group), limits), ()
    name = _first_text(block, _NAME_TAGS)
    number = _first_text(block, _NUMBER_TAGS)
    if name is not None:
        return _read_group(_group_by_name(name, gamma), limits), ()
    if number is not None:
        found = gemmi.find_spacegroup_by_number(int(number)) if number.isdecimal() and len(number) < 4 else None
        if found is None:
            raise UnparsableStructure(f"There is no space group number {number[:10]}.")
        chosen = _group_by_name(found.hm, gamma)
        note = f"only the space group number {number} is given: its standard setting, {chosen.xhm()}, was used"
        return _read_group(chosen, limits), (note,)
    return operations_from_triplets(("x,y,z",)), (_NO_SYMMETRY_NOTE,)


def _group_by_name(name: str, gamma: float) -> gemmi.SpaceGroup:
    """The space group of a Hermann-Mauguin symbol; symbols that leave the origin open are refused."""
    written = " ".join(name.replace("_", "").split())
    suffix = re.fullmatch(r"(.*\S)\s+(S|Z|O1|O2|:\s*[12HR])", written, flags=re.IGNORECASE)
    if suffix:
        choice = suffix.group(2).upper().replace(" ", "")
        written = suffix.group(1) + _ORIGIN_SUFFIX.get(choice, choice)
    group = gemmi.find_spacegroup_by_name(written, 90.0, gamma)
    if group is None:
        raise UnparsableStructure(
            f"The space group {name[:60]!r} is not known and no symmetry operations are listed; add "
            "_space_group_symop_operation_xyz."
        )
    if group.ext in "12" and group.ext != "\0" and ":" not in written:
        raise UnparsableStructure(
            f"The space group {name[:60]!r} has two origin choices and no symmetry operations are listed; "
            f"write {group.hm}:1 or {group.hm}:2, or add _space_group_symop_operation_xyz."
        )
    return group


def _read_group(group: gemmi.SpaceGroup, limits: StructureLimits) -> Operations:
    return _read_operations(tuple(op.triplet() for op in group.operations()), limits)


def _read_operations(triplets: tuple[str, ...], limits: StructureLimits) -> Operations:
    _refuse_many(len(triplets), limits)
    try:
        return operations_from_triplets(triplets)
    except (RuntimeError, ValueError):
        pass
    for text in triplets:
        try:
            operations_from_triplets((text,))
        except (RuntimeError, ValueError):
            raise UnparsableStructure(f"{text[:60]!r} is not a symmetry operation such as -x+1/2,y,z.") from None
    raise UnparsableStructure("The symmetry operations cannot be read.")


def _refuse_many(n_operations: int, limits: StructureLimits) -> None:
    if n_operations > limits.max_operations:
        raise StructureTooLarge(
            f"The file lists {n_operations} symmetry operations; at most {limits.max_operations} are read."
        )


def _contradiction(block: cif.Block, triplets: tuple[str, ...]) -> tuple[str, ...]:
    """A note when only the identity is listed but a higher space group is named."""
    if len(triplets) > 1:
        return ()
    name = _first_text(block, _NAME_TAGS)
    if name is None or name.replace(" ", "").upper() in {"P1", "A1", "B1", "C1", "F1", "I1"}:
        return ()
    return (f"the file names {name[:60]!r} but lists one symmetry operation: the listed atoms were taken as all",)


def _without_time(triplets: tuple[str, ...]) -> tuple[str, ...]:
    """`x,y,z,+1` -> `x,y,z`: time reversal moves no atom."""
    return tuple(",".join(text.split(",")[:3]) for text in triplets)


def _texts(block: cif.Block, tags: tuple[str, ...]) -> tuple[str, ...]:
    """The texts under the first tag that has any, bounded."""
    for tag in tags:
        raws = block.find_values(tag)
        if len(raws) > 0:
            texts = tuple(_bounded(cif.as_string(raw)) for raw in raws if raw not in _NULL)
            if texts:
                return texts
    return ()


def _bounded(text: str) -> str:
    """The text, or its start with a mark that makes it unreadable: no symmetry is written so long."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def _first_text(block: cif.Block, tags: tuple[str, ...]) -> str | None:
    for tag in tags:
        raw = block.find_value(tag)
        if raw is not None and not cif.is_null(raw):
            text = _bounded(cif.as_string(raw).strip())
            if text:
                return text
    return None


def _has_value(block: cif.Block, tag: str) -> bool:
    return bool(_texts(block, (tag,))) and _first_text(block, (tag,)) != "0"
