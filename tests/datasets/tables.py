"""Small labelled tables in every format that is read."""

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.structures.crystal import Crystal
from app.structures.elements import SYMBOLS
from tests.crystals import rocksalt

CATIONS = ("Li", "Na", "K", "Rb", "Cs")
ANIONS = ("F", "Cl", "Br", "I", "O", "S")


def cif_of(crystal: Crystal) -> str:
    """A P1 CIF."""
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    cosines = [crystal.lattice[i] @ crystal.lattice[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    angles = np.degrees(np.arccos(cosines))
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = "".join(f"_cell_{n} {v:.6f}\n" for n, v in zip(names, [*lengths, *angles], strict=True))
    sites = "".join(
        f"{SYMBOLS[int(z)]} {x:.6f} {y:.6f} {w:.6f}\n"
        for z, (x, y, w) in zip(crystal.atomic_numbers, crystal.fractional_coordinates, strict=True)
    )
    columns = "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    return f"data_crystal\n{cell}{columns}{sites}"


def rocksalts() -> list[tuple[str, str, float]]:
    """30 rows of (id, CIF, bulk modulus in GPa), all different."""
    pairs = [(cation, anion) for cation in CATIONS for anion in ANIONS]
    return [
        (f"{cation}{anion}", cif_of(rocksalt(4.0 + 0.1 * i, cation, anion)), 100.0 + 3.0 * i)
        for i, (cation, anion) in enumerate(pairs)
    ]


def records(label: str = "k_vrh") -> list[dict[str, Any]]:
    return [{"id": row_id, "cif": cif, label: value} for row_id, cif, value in rocksalts()]


def compositions(n: int = 30, label: str = "k_vrh") -> list[dict[str, Any]]:
    return [{"formula": f"Na{i + 1}Cl", label: 50.0 + i} for i in range(n)]


def as_csv(rows: Sequence[Mapping[str, Any]], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def as_json_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def as_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), buffer)
    return buffer.getvalue()


def as_zip(
    rows: Sequence[tuple[str, str, float]], folder: str = "", extra: Mapping[str, str] | None = None, header: str = ""
) -> bytes:
    """CGCNN's layout: id_prop.csv and one CIF each."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}id_prop.csv", header + "".join(f"{i},{value}\n" for i, _, value in rows))
        for row_id, cif, _ in rows:
            archive.writestr(f"{folder}{row_id}.cif", cif)
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return buffer.getvalue()
