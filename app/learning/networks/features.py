"""What a single network answers and the feature vectors it answers from, in one pass.

Of CGCNN, the pooled features before the fully connected layers; of SchNet, the mean of the atoms' features before the
output layers; of ElemNet, the activations after its last blocks of hidden layers; of a baseline, its descriptor.
"""

import torch
from torch import Tensor, nn

from app.learning.descriptors.soap import NO_PAIR
from app.learning.graphs.batch import GraphBatch
from app.learning.networks.cgcnn import Cgcnn
from app.learning.networks.cgcnn_inference import InferenceCgcnn
from app.learning.networks.elemnet import ElemNet17
from app.learning.networks.representation import RepresentationElemNet
from app.learning.networks.schnet import InferenceSchNet, SchNet
from app.structures.elements import MAX_ATOMIC_NUMBER

_LAST_BLOCKS = 3
"""Of ElemNet: the very last layer alone has come down to little more than the answer."""


def outputs_and_features(network: nn.Module, batch: GraphBatch | Tensor) -> tuple[Tensor, Tensor]:
    """Answers on the learned scale (B,) and feature vectors (B, F) float32."""
    if isinstance(network, Cgcnn | InferenceCgcnn):
        assert isinstance(batch, GraphBatch)
        crystals = network.embed(batch)
        return network.answer(crystals), crystals.float()
    if isinstance(network, InferenceSchNet | SchNet):
        assert isinstance(batch, GraphBatch)
        whole = network.network if isinstance(network, InferenceSchNet) else network
        nodes = network.nodes(batch) if isinstance(network, InferenceSchNet) else whole.nodes(batch, whole.filters())
        return whole.answer(nodes, batch), whole.pool(nodes, batch)
    assert isinstance(batch, Tensor)
    if isinstance(network, RepresentationElemNet):
        return _of_elemnet(network.head, network.represent(batch))
    if isinstance(network, ElemNet17):
        return _of_elemnet(network, batch)
    outputs: Tensor = network(batch)
    return outputs, descriptor_features(batch)


def descriptor_features(rows: Tensor) -> Tensor:
    """Rows of a descriptor as feature vectors, (B, F) float32."""
    return _element_blind(rows) if rows.dim() > 2 else rows.float()


def _of_elemnet(network: ElemNet17, features: Tensor) -> tuple[Tensor, Tensor]:
    ends = network.block_ends(features)
    outputs: Tensor = network.output(ends[-1]).squeeze(1).float()
    return outputs, torch.cat(ends[-_LAST_BLOCKS:], dim=1).float()


def _element_blind(rows: Tensor) -> Tensor:
    """SOAP rows (B, P, 1 + block size) -> sum of the blocks of all element pairs, (B, block size).

    Rows hold each pair of two elements once, though its atoms see each other both ways: it counts twice.
    """
    numbers = rows[:, :, 0].long()
    same = torch.div(numbers, MAX_ATOMIC_NUMBER + 1, rounding_mode="floor") == numbers % (MAX_ATOMIC_NUMBER + 1)
    weights = torch.where(same, 1.0, 2.0) * (rows[:, :, 0] != NO_PAIR)
    return (rows[:, :, 1:] * weights[:, :, None]).sum(1).float()
