"""MEGNet of matgl with random weights: its pretrained ones are not in the wheel, and time does not depend on them."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import matgl
import torch
from matgl.ext.pymatgen import Structure2Graph
from matgl.models import MEGNet
from pymatgen.core.structure import Structure
from torch_geometric.data import Batch

from benchmarks.peers.files import Span, cif_paths, one_by_one

_BATCH = 64


class Contender:
    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = MEGNet().eval()
        self.converter = Structure2Graph(element_types=self.model.element_types, cutoff=self.model.cutoff)

    def about(self) -> dict[str, Any]:
        return {"package": f"matgl {version('matgl')} (MEGNet)", "torch": torch.__version__}

    def _graph(self, path: Path) -> tuple[Any, torch.Tensor]:
        graph, lattice, state = self.converter.get_graph(Structure.from_file(path))
        graph.pbc_offshift = torch.matmul(graph.pbc_offset, lattice[0])
        graph.pos = graph.frac_coords @ lattice[0]
        return graph, torch.tensor(state, dtype=matgl.float_th)

    def graphs(self, folder: str, span: Span) -> None:
        for path in cif_paths(folder, span):
            self._graph(path)

    @torch.inference_mode()
    def predict(self, folder: str, span: Span, threads: int) -> None:
        torch.set_num_threads(threads)
        pairs = [self._graph(path) for path in cif_paths(folder, span)]
        for start in range(0, len(pairs), _BATCH):
            graphs, states = zip(*pairs[start : start + _BATCH], strict=True)
            self.model(g=Batch.from_data_list(list(graphs)), state_attr=torch.stack(states))

    @torch.inference_mode()
    def single(self, folder: str, span: Span, threads: int) -> dict[str, Any]:
        torch.set_num_threads(threads)
        return one_by_one(
            lambda path: self.model.predict_structure(Structure.from_file(path), graph_converter=self.converter),
            cif_paths(folder, span),
        )
