"""How often labels in one unit are taken for two, and labels in two units are seen, on tables of the data kit.

    python -m benchmarks.mixed_units --data-kit DIR        # a minute on one core

Draws random rows. To one half of the draws in two units a tenth of the rows is in the other one, to the rest 40 %; what
no such property can have is then refused by row, as in an upload. Writes benchmarks/results/mixed_units.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from app.core.settings import PROJECT_ROOT
from app.datasets.mixed_units import find_mixed_units
from app.datasets.rows import RawRow, RowKind
from app.datasets.validation import UsableRow
from app.properties.catalogue import PropertySpec, get_property
from app.properties.units import OTHER_UNITS
from app.structures.composition import parse_composition
from app.structures.formula import Composition

RESULT = PROJECT_ROOT / "benchmarks/results/mixed_units.md"
MAX_ROWS = 20_000
DRAWS = {20: 300, 25: 300, 40: 300, 60: 300, 100: 300, 200: 200, 500: 50, 2000: 10}
"""Of labels in one unit, by rows."""
MIXED_ROWS, MIXED_DRAWS = (60, 200, 600), 12
TABLES = (
    ("target_elastic_mp2020_6k", "K_VRH_GPa", "k_vrh"),
    ("target_elastic_mp2020_6k", "G_VRH_GPa", "g_vrh"),
    ("target_phonons_1265", "last_phdos_peak_cm-1", "last_phdos_peak"),
    ("target_expt_gap_composition_4604", "band_gap_expt_eV", "band_gap_experimental"),
    ("target_gap_gllbsc_2k", "band_gap_gllbsc_eV", "band_gap_gllbsc"),
    ("target_gap_scan_469", "band_gap_scan_eV", "band_gap_scan"),
    ("target_nomad2018_tco_3000", "band_gap_eV", "band_gap"),
    ("aux_oqmd_perovskite_11k", "band_gap_eV", "band_gap"),
    ("source_mp_structures_106k", "band_gap_pbe_eV", "band_gap"),
    ("target_tmo_fe_ti_v_cr_mn_11825", "band_gap_pbe_eV", "band_gap"),
    ("target_tmo_fe_ti_v_cr_mn_11825", "formation_energy_eV_per_atom", "formation_energy_per_atom"),
    ("aux_oqmd_perovskite_11k", "formation_energy_eV_per_atom", "formation_energy_per_atom"),
    ("aux_flla2015_3938", "formation_energy_eV_per_atom", "formation_energy_per_atom"),
    ("source_mp_structures_106k", "formation_energy_eV_per_atom", "formation_energy_per_atom"),
    ("aux_flla2015_3938", "e_above_hull_eV_per_atom", "energy_above_hull"),
)


@dataclass(frozen=True, slots=True)
class Table:
    spec: PropertySpec
    labels: list[float]
    items: list[Composition]

    def refused(self, rows: Sequence[int], labels: Sequence[float]) -> str | None:
        """The other unit, or None."""
        raw = [RawRow(n, str(n), RowKind.COMPOSITION, "", repr(label)) for n, label in enumerate(labels)]
        lower, upper = self.spec.lower or 0.0, self.spec.upper or 0.0
        usable = [
            UsableRow(str(row), RowKind.COMPOSITION, "", label, self.items[row])
            for row, label in zip(rows, labels, strict=True)
            if lower <= label <= upper
        ]
        found = find_mixed_units(raw, usable, self.spec)
        return None if found is None else found.unit


def table_of(file: str, column: str, property_key: str, kit: Path, rng: np.random.Generator) -> Table:
    columns = pq.read_table(kit / f"{file}.parquet", columns=["formula", column]).to_pydict()
    spec = get_property(property_key)
    labels = np.array(columns[column], dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(labels) & (labels >= (spec.lower or 0.0)) & (labels <= (spec.upper or 0.0)))
    rows = rng.permutation(rows)[:MAX_ROWS]
    return Table(spec, labels[rows].tolist(), [parse_composition(columns["formula"][row]) for row in rows])


def in_one_unit(table: Table, rng: np.random.Generator) -> tuple[int, int]:
    """Draws that are refused, and all."""
    draws = [size for size, times in DRAWS.items() for _ in range(times) if size <= len(table.labels)]
    drawn = [rng.choice(len(table.labels), size, replace=False).tolist() for size in [*draws, len(table.labels)]]
    return sum(table.refused(rows, [table.labels[row] for row in rows]) is not None for rows in drawn), len(drawn)


def in_two_units(table: Table, unit: str, size: int, rng: np.random.Generator) -> str:
    """Draws that are refused, of how many, and how many of them for another unit."""
    factor = OTHER_UNITS[table.spec.unit][unit]
    named = []
    for draw in range(MIXED_DRAWS):
        rows = rng.choice(len(table.labels), size, replace=False).tolist()
        other = rng.random(size) < (0.1 if draw % 2 else 0.4)
        labels = [table.labels[row] / (factor if is_other else 1) for row, is_other in zip(rows, other, strict=True)]
        named.append(table.refused(rows, labels))
    seen = [name for name in named if name is not None]
    wrong = sum(name != unit for name in seen)
    return f"{len(seen)}" + (f" ({wrong} by another name)" if wrong else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    kit = parser.parse_args().data_kit
    rng = np.random.default_rng(0)
    lines, n_refused, n_drawn = [], 0, 0
    for file, column, property_key in tqdm(TABLES):
        table = table_of(file, column, property_key, kit, rng)
        refused, drawn = in_one_unit(table, rng)
        n_refused, n_drawn = n_refused + refused, n_drawn + drawn
        sizes = [size for size in MIXED_ROWS if size <= len(table.labels)]
        for unit in OTHER_UNITS[table.spec.unit]:
            seen = [in_two_units(table, unit, size, rng) for size in sizes] + ["-"] * (len(MIXED_ROWS) - len(sizes))
            lines.append(f"| {file} | {property_key} | {refused} of {drawn} | {unit} | {' | '.join(seen)} |")
    counts = ", ".join(str(size) for size in DRAWS)
    RESULT.write_text(
        "# Labels in two units\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, `python -m benchmarks.mixed_units`. Refused of labels in one unit (random "
        f"parts of {counts} rows\nand all, at most {MAX_ROWS:,}): {n_refused} of {n_drawn:,}.\n"
        f"Refused of {MIXED_DRAWS} draws in two units, half of them with 10 %, half with 40 % in the other unit:\n\n"
        f"| table | property | in one unit | other unit | {' | '.join(f'{size} rows' for size in MIXED_ROWS)} |\n"
        f"|---|---|---|---|{'---|' * len(MIXED_ROWS)}\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    main()
