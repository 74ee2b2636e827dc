"""What is spoilt: small files of every format, and the CIFs of the data kit where there is one."""

import csv
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from app.predictions.examples import NACL_CIF
from tests.fuzz.mutations import mutated
from tests.structures.cif_texts import cif_text, operations_loop

COMPOSITIONS = (
    "SrTiO3", "Li0.5CoO2", "CuSO4·5H2O", "Ca(OH)2", "K3[Fe(CN)6]", "Ba0.5Sr0.5Co0.8Fe0.2O3", "D2O", "NaN", "Fe₂O₃",
    "Mg{Al[O(H)2]3}2", "2H2O", "Fm", "Uuo2", "AAAAAAAAAA", "H1e300", "Si" + "9" * 400, "(((((Na)))))Cl", "Xx2O", "Fe2+",
)  # fmt: skip
"""Among them those that break other parsers."""

POSCAR = "NaCl\n1.0\n0 2.8 2.8\n2.8 0 2.8\n2.8 2.8 0\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
_SPECIES = [{"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0]}]
_OBJECTS = (
    {"@class": "Structure", "lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]}, "sites": _SPECIES},
    {"cell": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "numbers": [11], "positions": [[0, 0, 0]], "pbc": [True, True, True]},
    {
        "lattice_vectors": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "cartesian_site_positions": [[0, 0, 0]],
        "species_at_sites": ["Na"], "nperiodic_dimensions": 3, "dimension_types": [1, 1, 1],
        "species": [{"name": "Na", "chemical_symbols": ["Na"], "concentration": [1.0]}],
    },
)  # fmt: skip


def structure_texts() -> list[bytes]:
    """CIF, POSCAR and JSON."""
    return [*_cifs(), POSCAR.encode(), *(json.dumps(item).encode() for item in _OBJECTS), *_zoo()]


def compositions() -> list[bytes]:
    return [text.encode() for text in COMPOSITIONS]


def csv_tables() -> list[bytes]:
    return [
        *(_csv(records) for records in _tables()), _csv(_compositions(), delimiter=";"),
        _csv(_compositions(), encoding="utf-16"), b"composition,target\n\n\nNaCl,1\n" + b"KCl,2\n" * 50,
    ]  # fmt: skip


def json_tables() -> list[bytes]:
    lines = [json.dumps({"structure": item, "target": 1.5}) for item in _OBJECTS]
    return [*(_json_lines(records) for records in _tables()), "\n".join(lines).encode()]


def parquet_tables() -> list[bytes]:
    return [_parquet(records) for records in _tables()]


def zips() -> list[bytes]:
    plain = {"a.vasp": POSCAR, "folder/b.vasp": POSCAR, "id_prop.csv": "a,1\n"}
    layout = {f"set/{name}.cif": NACL_CIF for name in "abc"}
    return [
        _zip(plain, zipfile.ZIP_STORED),
        _zip({"set/id_prop.csv": "a,1.5\nb,2.5\n"} | layout, zipfile.ZIP_DEFLATED),
    ]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "cif": structure_texts,
    "composition": compositions,
    "csv": csv_tables,
    "jsonl": json_tables,
    "parquet": parquet_tables,
    "zip": zips,
}


class Corpus:
    """The inputs of a target, by number."""

    def __init__(self, target: str, seed: int) -> None:
        self._name = f"{target}/{seed}"
        self._seeds = SEEDS[target]()

    def input(self, number: int) -> bytes:
        """Follows from target, seed and number alone."""
        rng = Random(f"{self._name}/{number}")
        return mutated(rng.choice(self._seeds), rng, self._seeds)


def _cifs() -> list[bytes]:
    translations = operations_loop(["x,y,z", "-x,-y,-z", "x+1/2,y,z+1/2"])
    general = [f"C{i} 0.{i}1 0.{i}2 0.{i}3" for i in range(1, 9)]
    texts = (
        NACL_CIF, cif_text(["Na1 0 0 0", "Cl1 0.5 0.5 0.5"]), cif_text(["Na1 0.1 0.2 0.3"], extra=translations),
        cif_text(general, cell=(30, 30, 30, 90, 90, 90), extra="_symmetry_space_group_name_H-M 'F m -3 m'\n"),
        cif_text(["Fe1 0 0 0"], cell=(2.5, 9, 9, 60, 60, 60), name="a") + cif_text(["O1 0 0 0"], name="b"),
    )  # fmt: skip
    return [text.encode() for text in texts]


def _zoo() -> list[bytes]:
    kit = os.environ.get("XTALFORGE_DATA_KIT")
    path = Path(kit or "nowhere") / "cif_zoo_dev.zip"
    if not path.is_file():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist() if name.endswith((".cif", ".mcif"))]


def _compositions() -> list[dict[str, str]]:
    return [{"id": str(i), "composition": text, "target": f"{i}.5"} for i, text in enumerate(COMPOSITIONS)]


def _tables() -> list[list[dict[str, str]]]:
    crystals = [{"id": "a", "cif": NACL_CIF, "target": "1"}, {"id": "b", "cif": "nonsense", "target": "x"}]
    return [_compositions(), crystals, [{"poscar": POSCAR, "band_gap": "0.5"}]]


def _csv(records: list[dict[str, str]], encoding: str = "utf-8", delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode(encoding)


def _json_lines(records: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _parquet(records: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return sink.getvalue()


def _zip(members: dict[str, str], compression: int) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as archive:
        for name, text in members.items():
            # A fixed date: an input must be the same each time.
            archive.writestr(zipfile.ZipInfo(name), text, compression)
    return sink.getvalue()
