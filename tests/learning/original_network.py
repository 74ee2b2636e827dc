"""The network of Xie & Grossman 2018 as their equations and their file format have it, to compare with.

Every atom has a row of exactly M neighbours, and one linear map acts on (v_i, v_j, u_ij) joined.
"""

import io
from typing import Any

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor, nn
from torch.nn.functional import softplus

from app.learning.networks.element_features import element_features
from app.structures.crystal import Crystal

N_NEIGHBOURS, RADIUS, STEP, N_GAUSSIANS = 12, 8.0, 0.2, 41


class _Convolution(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc_full = nn.Linear(2 * width + N_GAUSSIANS, 2 * width)
        self.bn1, self.bn2 = nn.BatchNorm1d(2 * width), nn.BatchNorm1d(width)

    def forward(self, atoms: Tensor, neighbours: Tensor, bonds: Tensor) -> Tensor:
        """atoms (N, F), neighbours (N, M), bonds (N, M, 41) -> (N, F)."""
        own = atoms[:, None].expand(-1, neighbours.shape[1], -1)
        joined = self.fc_full(torch.cat([own, atoms[neighbours], bonds], dim=2))
        gate, core = self.bn1(joined.flatten(0, 1)).view_as(joined).tensor_split(2, dim=2)
        return softplus(atoms + self.bn2((gate.sigmoid() * softplus(core)).sum(dim=1)))


class OriginalNetwork(nn.Module):
    """Layers carry the names of the published files."""

    def __init__(self, width: int = 8, n_conv: int = 2, hidden: int = 6, n_hidden: int = 1, n_out: int = 1) -> None:
        super().__init__()
        self.embedding = nn.Linear(92, width)
        self.convs = nn.ModuleList(_Convolution(width) for _ in range(n_conv))
        self.conv_to_fc = nn.Linear(width, hidden)
        if n_hidden > 1:
            self.fcs = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(n_hidden - 1))
        self.fc_out = nn.Linear(hidden, n_out)

    @torch.no_grad()
    def predict(self, crystal: Crystal) -> float:
        """On the normalised scale."""
        neighbours, distances = nearest_rows(crystal)
        bonds = np.exp(-(((distances[..., None] - np.arange(N_GAUSSIANS) * STEP) / STEP) ** 2))
        atoms = self.embedding(element_features()[torch.from_numpy(crystal.atomic_numbers)])
        for convolution in self.convs:
            atoms = convolution(atoms, torch.from_numpy(neighbours), torch.from_numpy(bonds).float())
        features = softplus(self.conv_to_fc(softplus(atoms.mean(dim=0))))
        for layer in getattr(self, "fcs", ()):
            features = softplus(layer(features))
        return float(self.fc_out(features))


def nearest_rows(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours (N, 12) and their distances, Å: the first 12 of pymatgen's, sorted by distance."""
    structure = Structure(Lattice(crystal.lattice), crystal.atomic_numbers.tolist(), crystal.fractional_coordinates)
    shells: list[list[tuple[float, int]]] = [[] for _ in structure]
    centres, others, _, distances = structure.get_neighbor_list(RADIUS)
    for centre, other, distance in zip(centres.tolist(), others.tolist(), distances.tolist(), strict=True):
        shells[centre].append((distance, other))
    rows = [sorted(shell, key=lambda pair: pair[0])[:N_NEIGHBOURS] for shell in shells]
    return np.array([[j for _, j in row] for row in rows]), np.array([[d for d, _ in row] for row in rows])


def random_network(seed: int = 0, **sizes: int) -> OriginalNetwork:
    """Weights and batch statistics as training might leave them."""
    generator = torch.Generator().manual_seed(seed)
    network = OriginalNetwork(**sizes).eval()
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(5.0, 20.0, generator=generator)
        elif "bn" in name and name.endswith("weight"):
            value.uniform_(0.5, 2.0, generator=generator)
        elif value.is_floating_point():
            value.normal_(0.0, 0.3, generator=generator)
    return network


def checkpoint(network: OriginalNetwork, **changes: Any) -> dict[str, Any]:
    """What the published files hold, without the optimiser; `changes` replace parts of it."""
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    arguments = {"task": "regression", "data_options": ["x/20170419_mecha.json", "regression", "bulk_moduli"]}
    parts: dict[str, Any] = {
        "epoch": 7,
        "state_dict": state,
        "best_mae_error": 0.25,
        "normalizer": {"mean": 1.5, "std": 0.25},
        "args": arguments | {"train_size": 60, "val_size": 20, "test_size": 20, "optim": "SGD", "lr": 0.02},
    }
    return parts | changes


def saved(document: object, legacy: bool = True) -> bytes:
    """As a file, by default in the format of the torch of 2018."""
    target = io.BytesIO()
    torch.save(document, target, _use_new_zipfile_serialization=not legacy)
    return target.getvalue()
