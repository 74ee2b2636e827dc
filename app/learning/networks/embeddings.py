"""Feature vectors of inputs as a model sees them, and its answers from the same pass.

Of a single network what `networks.features` says; of an ensemble, what its members answer and the descriptors they read
(or, reading graphs alone, the features of the first).
"""

import torch
from torch import Tensor, nn

from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.networks.features import descriptor_features, outputs_and_features
from app.learning.samples import CompositeBatch, NetworkBatch


@torch.inference_mode()
def outputs_and_embeddings(network: nn.Module, batch: NetworkBatch) -> tuple[Tensor, Tensor]:
    """Answers on the learned scale (B,) and feature vectors (B, F) float32, from one pass."""
    if isinstance(network, EnsembleNetwork):
        assert isinstance(batch, CompositeBatch)
        return _of_ensemble(network, batch)
    assert not isinstance(batch, CompositeBatch)
    return outputs_and_features(network, batch)


def _of_ensemble(network: EnsembleNetwork, batch: CompositeBatch) -> tuple[Tensor, Tensor]:
    members = network.member_outputs(batch)
    vectors = [descriptor_features(part) for part in batch.parts.values() if isinstance(part, Tensor)]
    if not vectors:
        parts = [*zip(network.settings.sources, network.sources, strict=True)]
        members_of = [*zip(network.settings.members, network.members, strict=True)]
        settings, first = (parts or members_of)[0]
        vectors = [outputs_and_features(first, batch.parts[settings.reads])[1]]
    return network.weighted(members), torch.cat([members.float(), *vectors], dim=1)
