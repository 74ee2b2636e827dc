"""pymatgen and ASE, which most scripts read structures with, as far as the neighbours a graph needs."""

from importlib.metadata import version
from typing import Any

import ase.io
from ase.neighborlist import neighbor_list
from pymatgen.core.structure import Structure

from benchmarks.peers.files import Span, cif_paths

CUTOFF = 8.0
"""Å, that of the crystal graphs."""


class Contender:
    def __init__(self, package: str) -> None:
        self.package = package

    def about(self) -> dict[str, Any]:
        return {"package": f"{self.package} {version(self.package)}"}

    def read(self, folder: str, span: Span) -> None:
        for path in cif_paths(folder, span):
            if self.package == "ase":
                ase.io.read(path, format="cif")
            else:
                Structure.from_file(path)

    def graphs(self, folder: str, span: Span) -> None:
        """All pairs within the cutoff: the step before the nearest twelve are chosen."""
        for path in cif_paths(folder, span):
            if self.package == "ase":
                neighbor_list("ijd", ase.io.read(path, format="cif"), CUTOFF)
            else:
                Structure.from_file(path).get_neighbor_list(CUTOFF)
