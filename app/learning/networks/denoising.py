"""What a CGCNN can learn of crystals without labels: which noise was added to lengths, and which elements are hidden.

The noise is that of noisy nodes (Godwin et al., ICLR 2022, arXiv:2106.07971) and of denoising (Zaidi et al., ICLR 2023,
arXiv:2206.00133), on lengths instead of positions: all that this network sees of a geometry. Near equilibrium, to tell
the noise is to know which lengths the atoms at both ends would rather have. Hidden elements are the masked attributes
of Hu et al. (ICLR 2020, arXiv:1905.12265).
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.learning.graphs.batch import GraphBatch
from app.learning.networks.cgcnn import Cgcnn
from app.structures.elements import MAX_ATOMIC_NUMBER

_SHORTEST = 0.1
"""Å: no noise makes a length less."""
_WEIGHT_OF_ELEMENTS = 0.2
"""Of a nat, where the spread of the noise is 1."""


class Guesses(NamedTuple):
    """Of a batch: errors of the noise (E,) in units of its spread, hidden nodes (N,), logits (N, elements)."""

    noise_errors: Tensor
    hidden: Tensor
    elements: Tensor


class Denoiser(nn.Module):
    """A CGCNN, and beside it the layers that tell noise and elements from what it makes of the atoms."""

    def __init__(self, network: Cgcnn, spread: float, hidden_share: float) -> None:
        """`spread`: standard deviation of the noise, Å. `hidden_share`: of the nodes, whose element is not told."""
        super().__init__()
        self.network, self.spread, self.hidden_share = network, spread, hidden_share
        width = network.settings.atom_feature_dim
        self.noise = nn.Sequential(
            nn.Linear(2 * width + network.radial.n_functions, width), nn.SiLU(), nn.Linear(width, 1)
        )
        self.elements = nn.Linear(width, MAX_ATOMIC_NUMBER + 1)
        self.hidden_element = nn.Parameter(torch.zeros(width))

    def forward(self, batch: GraphBatch) -> Tensor:
        """What is to become small, (B,): of each crystal the mean error of the noise, and that of hidden elements."""
        noise_errors, hidden, logits = self.guess(batch)
        entropy = functional.cross_entropy(logits.float(), batch.atomic_numbers, reduction="none") * hidden
        of_edges = self._means(noise_errors.float(), batch.crystal_index.index_select(0, batch.centre), batch)
        # Not over the hidden ones alone: small crystals often have none.
        of_nodes = self._means(entropy / self.hidden_share, batch.crystal_index, batch)
        return of_edges + _WEIGHT_OF_ELEMENTS * of_nodes

    def guess(self, batch: GraphBatch) -> Guesses:
        """Add noise, hide elements, both drawn anew from torch's own generator, and guess them."""
        added = torch.randn_like(batch.distances)
        noisy = replace(batch, distances=(batch.distances + self.spread * added).clamp_min(_SHORTEST))
        hidden = torch.rand_like(batch.node_weights) < self.hidden_share
        told = torch.where(hidden[:, None], self.hidden_element, self.network.embedded(batch))
        nodes, radial = self.network.convolved(told, noisy)
        ends = (nodes.index_select(0, batch.centre), nodes.index_select(0, batch.neighbour), radial)
        found = self.noise(torch.cat(ends, dim=1)).squeeze(1)
        return Guesses((found - added).abs(), hidden, self.elements(nodes))

    def _means(self, values: Tensor, crystals: Tensor, batch: GraphBatch) -> Tensor:
        """Of values (k,) that belong to `crystals` (k,), for each crystal, (B,)."""
        sums = torch.zeros(batch.n_crystals, device=values.device).index_add(0, crystals, values)
        return sums / torch.bincount(crystals, minlength=batch.n_crystals).clamp_min(1)
