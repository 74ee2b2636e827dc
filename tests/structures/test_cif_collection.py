"""Real CIFs of many origins: every one gives a crystal or a reasoned error."""

import zipfile
from pathlib import Path

import pytest

from app.structures.detect import decode_text
from app.structures.reader import read_structures

# What pymatgen reads and the reader refuses on purpose, with the code and a word of the reason.
REFUSED = {
    "tests_testdata_badspacegroup.cif": ("unparsable_structure", "C2:b1"),
    "test-files_cif_PF_sd_1002871.cif": ("unparsable_structure", "NH3"),
    "test-files_cif_Senegalite_implicit_hydrogen.cif": ("unparsable_structure", "Wat"),
    "test-files_cif_cif_implicit_hydrogens_cod_1011130.cif": ("unparsable_structure", "Hydrogen"),
    "tests_testdata_nosites.cif": ("no_atoms", "no atom"),
    "test-files_io_cif_mcif_magnetic.incommensurate.example.Cr.mcif": ("unparsable_structure", "modulated"),
    "test-files_cif_bad_occu.cif": ("disordered_structure", "Co1"),
}


def test_every_file_gives_an_answer_or_a_reason(data_kit: Path) -> None:
    path = data_kit / "cif_zoo_dev.zip"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the data kit")
    codes: dict[str, int] = {}
    n_files = 0
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith((".cif", ".mcif")):
                continue
            n_files += 1
            for result in read_structures(decode_text(archive.read(name)), name=name):
                code = result.error.code if result.error is not None else "read"
                codes[code] = codes.get(code, 0) + 1
                expected_code, reason = REFUSED.get(name.rpartition("/")[2], (code, ""))
                assert code == expected_code, name
                assert result.error is None or reason in result.error.detail
    assert n_files == 156
    assert codes["read"] == 136
    assert sum(codes.values()) == 166
