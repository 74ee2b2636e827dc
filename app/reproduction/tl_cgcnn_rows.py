"""Which rows of the data kit the targets of Lee & Asahi 2021 are drawn from."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from app.core.errors import InvalidJob, XtalforgeError
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.graphs.settings import GraphSettings
from app.learning.samples import composition_key
from app.learning.splits import Split
from app.learning.tables import TrainingTable
from app.reproduction.protocols import Target, TrialData
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from app.structures.reader import read_structure

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SOURCE_FILE = "source_mp_structures_106k.parquet"
NON_METAL_EV = 0.1
_GAP, _ENERGY = "band_gap_pbe_eV", "formation_energy_eV_per_atom"
_POOL_SEED = 0


@dataclass(frozen=True, slots=True)
class Pool:
    """Rows of a file that trials are drawn from.

    `lower`/`upper` bound the label, both inclusive. `known` are columns that must have a value. `n_rows` of what is
    left are drawn once, for all trials, where there are more.
    """

    file: str
    label: str
    lower: float = -np.inf
    upper: float = np.inf
    known: tuple[str, ...] = ()
    non_metals: bool = False
    n_rows: int | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """All that the rows depend on: whether a material is a metal stands in the file of the sources."""
        return tuple(dict.fromkeys((self.file, SOURCE_FILE))) if self.non_metals else (self.file,)


_OF_SOURCE = {"known": (_GAP, _ENERGY), "non_metals": True, "n_rows": 9_000}
POOLS = {
    "k_vrh": Pool("target_elastic_mp2020_6k.parquet", "K_VRH_GPa", lower=2.0),
    "band_gap_gllbsc": Pool("target_gap_gllbsc_2k.parquet", "band_gap_gllbsc_eV", n_rows=270),
    "dielectric_total": Pool("target_dielectric_mp2020_5k.parquet", "eps_total", 1.0001, 1000.0, non_metals=True),
    "band_gap": Pool(SOURCE_FILE, _GAP, **_OF_SOURCE),  # type: ignore[arg-type]
    "formation_energy_per_atom": Pool(SOURCE_FILE, _ENERGY, **_OF_SOURCE),  # type: ignore[arg-type]
}
"""By property. Gaps and energies are those of the same rows of the source's own file, known for both."""


def trial_rows(pool: Pool, target: Target, seed: int, kit: Path) -> TrialData:
    """Rows of the pool in random order: the first train, the next validate, the last test.

    Rows that make no graph are passed over. Raises InvalidJob for a pool with too few rows.
    """
    rows = candidates(pool, kit)
    order = np.random.default_rng(seed).permutation(rows)
    labels = _column(kit / pool.file, pool.label)
    texts = pq.read_table(kit / pool.file, columns=["cif"]).column(0)
    crystals: list[Crystal] = []
    used: list[int] = []
    for row in order:
        if len(used) == target.n_rows:
            break
        crystal = _readable(texts[int(row)].as_py())
        if crystal is not None:
            crystals.append(crystal)
            used.append(int(row))
    if len(used) < target.n_rows:
        raise InvalidJob(f"{target.name} needs {target.n_rows} rows of {pool.file}, but only {len(used)} can be used.")
    parts = np.split(np.arange(target.n_rows), [target.n_train, target.n_train + target.n_val])
    table = TrainingTable(crystals, labels[used], [str(row) for row in used])
    return TrialData(f"{target.property_key} {target.n_rows} seed {seed}", table, Split(*parts))


@cache
def candidates(pool: Pool, kit: Path) -> IntArray:
    """Places in the file of the rows that trials may use, ascending."""
    path = kit / pool.file
    labels = _column(path, pool.label)
    kept = (labels >= pool.lower) & (labels <= pool.upper)
    for name in pool.known:
        kept &= ~np.isnan(_column(path, name))
    if pool.non_metals:
        kept &= _gaps(path, kit) > NON_METAL_EV
    rows = np.flatnonzero(kept)
    if pool.n_rows is not None and pool.n_rows < len(rows):
        rows = np.sort(np.random.default_rng(_POOL_SEED).choice(rows, pool.n_rows, replace=False))
    return rows


def pool_formulas(pool: Pool, kit: Path) -> frozenset[str]:
    """Reduced compositions of all rows that trials may use."""
    formulas = pq.read_table(kit / pool.file, columns=["formula"]).column(0).take(candidates(pool, kit)).to_pylist()
    return frozenset(composition_key(parse_composition(formula)) for formula in set(formulas))


def _gaps(path: Path, kit: Path) -> FloatArray:
    """PBE gap in eV of each row of a file, NaN where unknown: its own, or that of the same material of the source."""
    if path.name == SOURCE_FILE:
        return _column(path, _GAP)
    table = pq.read_table(kit / SOURCE_FILE, columns=["material_id", _GAP]).to_pydict()
    gaps = dict(zip(table["material_id"], table[_GAP], strict=True))
    names = pq.read_table(path, columns=["matbench_id"]).column(0).to_pylist()
    return np.array([gaps.get(name, np.nan) for name in names], dtype=np.float64)


def _column(path: Path, name: str) -> FloatArray:
    values = pq.read_table(path, columns=[name]).column(0).to_numpy()
    return np.asarray(values, dtype=np.float64)


def _readable(text: str) -> Crystal | None:
    try:
        crystal = read_structure(text)
        build_crystal_graph(crystal, GraphSettings())
    except XtalforgeError:
        return None
    return crystal
