"""Feature vectors of inputs as a network sees them, and its answers from the same pass.

Of CGCNN, the pooled features before the fully connected layers; of SchNet, the mean of the atoms' features before the
output layers; of ElemNet, the activations after its last blocks of hidden layers; of a baseline, its descriptor; of an
ensemble, what its members answer and the descriptors they read (or, reading graphs alone, the features of the first).
"""

import torch
from torch import Tensor, nn

from app.learning.descriptors.soap import NO_PAIR
from app.learning.graphs.batch import GraphBatch
from app.learning.networks.cgcnn import Cgcnn
from app.learning.networks.cgcnn_inference import InferenceCgcnn
from app.learning.networks.elemnet import ElemNet17
from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.networks.representation import RepresentationElemNet
from app.learning.networks.schnet import InferenceSchNet, SchNet
from app.learning.samples import CompositeBatch, NetworkBatch
from app.structures.elements import MAX_ATOMIC_NUMBER

_LAST_BLOCKS = 3
"""Of ElemNet: the very last layer alone has come down to little more than the answer."""


@torch.inference_mode()
def outputs_and_embeddings(network: nn.Module, batch: NetworkBatch) -> tuple[Tensor, Tensor]:
    """Answers on the learned scale (B,) and feature vectors (B, F) float32, from one pass."""
    if isinstance(network, Cgcnn | InferenceCgcnn):
        assert isinstance(batch, GraphBatch)
        crystals = network.embed(batch)
        return network.answer(crystals), crystals.float()
    if isinstance(network, InferenceSchNet | SchNet):
        assert isinstance(batch, GraphBatch)
        whole = network.network if isinstance(network, InferenceSchNet) else network
        nodes = network.nodes(batch) if isinstance(network, InferenceSchNet) else whole.nodes(batch, whole.filters())
        return whole.answer(nodes, batch), whole.pool(nodes, batch)
    if isinstance(network, EnsembleNetwork):
        assert isinstance(batch, CompositeBatch)
        return _of_ensemble(network, batch)
    assert isinstance(batch, Tensor)
    if isinstance(network, RepresentationElemNet):
        return _of_elemnet(network.head, network.represent(batch))
    if isinstance(network, ElemNet17):
        return _of_elemnet(network, batch)
    outputs: Tensor = network(batch)
    return outputs, _descriptor(batch)


def _of_ensemble(network: EnsembleNetwork, batch: CompositeBatch) -> tuple[Tensor, Tensor]:
    members = network.member_outputs(batch)
    vectors = [_descriptor(part) for part in batch.parts.values() if isinstance(part, Tensor)]
    if not vectors:
        parts = [*zip(network.settings.sources, network.sources, strict=True)]
        members_of = [*zip(network.settings.members, network.members, strict=True)]
        settings, first = (parts or members_of)[0]
        vectors = [outputs_and_embeddings(first, batch.parts[settings.reads])[1]]
    return network.weighted(members), torch.cat([members.float(), *vectors], dim=1)


def _descriptor(rows: Tensor) -> Tensor:
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
