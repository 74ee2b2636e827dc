"""ALIGNN without DGL, 4 + 4 layers of 256 features as its published property models have, with random weights."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from alignn.models.alignn_atomwise_pure import ALIGNNAtomWisePure, ALIGNNAtomWisePureConfig
from alignn.torch_graph_builder import build_pure_torch_graph
from jarvis.core.atoms import Atoms

from benchmarks.peers.files import Span, cif_paths, one_by_one


class Contender:
    def __init__(self) -> None:
        torch.manual_seed(0)
        settings = ALIGNNAtomWisePureConfig(
            name="alignn_atomwise_pure", alignn_layers=4, gcn_layers=4, atom_input_features=92, hidden_features=256,
            calculate_gradient=False, use_zbl=False,
        )  # fmt: skip
        self.model = ALIGNNAtomWisePure(settings).eval()

    def about(self) -> dict[str, Any]:
        return {"package": f"alignn {version('alignn')}", "torch": torch.__version__}

    def _graph(self, path: Path) -> Any:
        atoms = Atoms.from_cif(str(path), get_primitive_atoms=False, use_cif2cell=False)
        return build_pure_torch_graph(atoms, two_body_cutoff=8.0, max_neighbors=12, atom_features="cgcnn")

    def graphs(self, folder: str, span: Span) -> None:
        for path in cif_paths(folder, span):
            self._graph(path)

    @torch.inference_mode()
    def _predict(self, path: Path) -> None:
        graph, lines = self._graph(path)
        self.model((graph, lines, None))

    def predict(self, folder: str, span: Span, threads: int) -> None:
        """One structure after the other: a batch of line graphs would be larger than the caches."""
        torch.set_num_threads(threads)
        for path in cif_paths(folder, span):
            self._predict(path)

    def single(self, folder: str, span: Span, threads: int) -> dict[str, Any]:
        torch.set_num_threads(threads)
        return one_by_one(self._predict, cif_paths(folder, span))
