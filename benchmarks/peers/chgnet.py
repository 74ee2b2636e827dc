"""CHGNet with the weights in its wheel: energies only, no forces."""

from importlib.metadata import version
from typing import Any

import torch
from chgnet.model import CHGNet
from pymatgen.core.structure import Structure

from benchmarks.peers.files import Span, cif_paths, one_by_one


class Contender:
    def __init__(self) -> None:
        self.model = CHGNet.load(use_device="cpu", verbose=False)

    def about(self) -> dict[str, Any]:
        return {"package": f"chgnet {version('chgnet')}", "torch": torch.__version__}

    def graphs(self, folder: str, span: Span) -> None:
        for path in cif_paths(folder, span):
            self.model.graph_converter(Structure.from_file(path))

    def predict(self, folder: str, span: Span, threads: int) -> None:
        torch.set_num_threads(threads)
        structures = [Structure.from_file(path) for path in cif_paths(folder, span)]
        self.model.predict_structure(structures, task="e", batch_size=16)

    def single(self, folder: str, span: Span, threads: int) -> dict[str, Any]:
        torch.set_num_threads(threads)
        return one_by_one(
            lambda path: self.model.predict_structure(Structure.from_file(path), task="e"), cif_paths(folder, span)
        )
