"""VASP POSCAR text -> crystal."""

import numpy as np

from app.core.errors import NoAtoms, UnparsableStructure, UnphysicalStructure
from app.structures.crystal import Crystal, FloatArray
from app.structures.elements import ATOMIC_NUMBERS, isotope_note
from app.structures.limits import DEFAULT_LIMITS, StructureLimits
from app.structures.species import element_of_type
from app.structures.validation import check_lattice, check_site_count, make_crystal

_COUNT_DIGITS = 7
_HEADER_LINES = 7


def read_poscar(text: str, limits: StructureLimits = DEFAULT_LIMITS) -> Crystal:
    """Read a POSCAR of VASP 5, or of VASP 4 where its elements are told without doubt.

    Raises the StructureError that names the line at fault.
    """
    lines = text.lstrip("\ufeff").splitlines()
    if len(lines) < _HEADER_LINES:
        raise UnparsableStructure(f"The POSCAR has {len(lines)} lines; cell, elements, counts and positions need more.")
    lattice, scale = _scaled_lattice(lines)
    words = lines[5].split()
    symbols = None if words and all(word.isdecimal() for word in words) else words
    counts_at = 5 if symbols is None else 6
    counts = _counts(lines, counts_at)
    n_sites = sum(counts)
    if n_sites == 0:
        raise NoAtoms("The POSCAR has no atoms: its counts add up to 0.")
    check_site_count(n_sites, limits)
    check_lattice(lattice, n_sites, limits)
    mode_at = counts_at + 1
    if _line(lines, mode_at, "the coordinate mode")[:1] in ("S", "s"):
        mode_at += 1
    cartesian = _is_cartesian(_line(lines, mode_at, "the coordinate mode"), mode_at)
    rows = [_row(lines, mode_at + 1 + i) for i in range(n_sites)]
    coordinates = np.array([_numbers(row[:3], 3, mode_at + 1 + i) for i, row in enumerate(rows)])
    if cartesian:
        with np.errstate(invalid="ignore", over="ignore"):  # `make_crystal` refuses what is not finite
            coordinates = (coordinates * scale) @ np.linalg.inv(lattice)
    if symbols is None:
        symbols_of_sites = _vasp4_symbols(lines[0].split(), counts, rows)
    elif len(symbols) == len(counts):
        symbols_of_sites = [symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)]
    else:
        raise UnparsableStructure(f"Line 6 names {len(symbols)} elements but line 7 has {len(counts)} counts.")
    elements = [_element(symbol) for symbol in symbols_of_sites]
    isotopes = sorted({isotope for _, isotope in elements if isotope is not None})
    return make_crystal(
        lattice,
        coordinates,
        np.array([number for number, _ in elements], dtype=np.int64),
        notes=tuple(isotope_note(isotope) for isotope in isotopes),
        limits=limits,
    )


def _scaled_lattice(lines: list[str]) -> tuple[FloatArray, FloatArray]:
    """Cell vectors in Å and the factors (3,) by which Cartesian coordinates are scaled."""
    words = lines[1].split()
    scale = np.array(_numbers(words[:3], 3, 1) if _has_three_numbers(words) else _numbers(words[:1], 1, 1) * 3)
    vectors = np.array([_numbers(lines[i].split()[:3], 3, i) for i in (2, 3, 4)])
    if not np.isfinite(vectors).all() or not np.isfinite(scale).all():
        raise UnphysicalStructure("The scale or a cell vector of the POSCAR is not a finite number.")
    if (scale == 0).any() or (len(set(scale)) > 1 and (scale < 0).any()):
        raise UnphysicalStructure(f"The scale in line 2, {lines[1].strip()[:40]!r}, must not be zero.")
    if scale[0] < 0:
        volume = abs(float(np.linalg.det(vectors)))
        if not volume > 0:
            raise UnphysicalStructure("The cell vectors of the POSCAR span no volume.")
        scale = np.full(3, (-scale[0] / volume) ** (1 / 3))
    return vectors * scale, scale


def _has_three_numbers(words: list[str]) -> bool:
    return len(words) >= 3 and all(_is_number(word) for word in words[:3])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _counts(lines: list[str], index: int) -> list[int]:
    words = _line(lines, index, "the number of atoms of each element").split()
    counts = []
    for word in words:
        if not (word.isascii() and word.isdecimal()) or len(word) > _COUNT_DIGITS:
            raise UnparsableStructure(f"Line {index + 1}: {word[:30]!r} is not a number of atoms.")
        counts.append(int(word))
    return counts


def _is_cartesian(mode: str, index: int) -> bool:
    if mode[:1] in "CcKk":
        return True
    if mode[:1] in "Dd":
        return False
    raise UnparsableStructure(f"Line {index + 1}: {mode[:30]!r} is neither Direct nor Cartesian.")


def _line(lines: list[str], index: int, what: str) -> str:
    text = lines[index].strip() if index < len(lines) else ""
    if not text:
        raise UnparsableStructure(f"Line {index + 1} should give {what}, but is empty.")
    return text


def _row(lines: list[str], index: int) -> list[str]:
    return _line(lines, index, "the position of an atom").split()


def _numbers(words: list[str], expected: int, index: int) -> list[float]:
    """Numbers of a line, Fortran's 1.0D0 included."""
    try:
        values = [float(word.replace("D", "E").replace("d", "e")) for word in words]
    except ValueError:
        values = []
    if len(values) != expected:
        shown = " ".join(words)[:60]
        wanted = "1 number" if expected == 1 else f"{expected} numbers"
        raise UnparsableStructure(f"Line {index + 1} should start with {wanted}, not {shown!r}.")
    return values


def _element(symbol: str) -> tuple[int, str | None]:
    """Element of a VASP symbol, which may carry the name of its potential: `Fe_pv`, `Ti/7af3`."""
    return element_of_type(symbol.split("_")[0].split("/")[0])


def _vasp4_symbols(comment: list[str], counts: list[int], rows: list[list[str]]) -> list[str]:
    """Elements of a file without an element line: behind every position, or exactly those of the comment line."""
    for column in (3, 6):
        trailing = [row[column] if len(row) == column + 1 else "" for row in rows]
        if all(_is_element(symbol) for symbol in trailing):
            return trailing
    if len(comment) == len(counts) and all(_is_element(symbol) for symbol in comment):
        return [symbol for symbol, count in zip(comment, counts, strict=True) for _ in range(count)]
    raise UnparsableStructure(
        "The POSCAR does not name its elements (VASP 4): add a line of symbols such as 'Na Cl' above the counts."
    )


def _is_element(symbol: str) -> bool:
    return symbol in ATOMIC_NUMBERS
