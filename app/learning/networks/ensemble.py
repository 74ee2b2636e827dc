"""Several models in one checkpoint: the weighted mean of what they predict.

A member may be a network, or a baseline whose rows go on with the outputs of pretrained networks ("sources") that are
part of the checkpoint too: what a source knows is then a feature among others (stacking, Wolpert 1992).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from app.learning.networks.ensemble_settings import EnsembleSettings, MemberSettings
from app.learning.samples import CompositeBatch


class EnsembleNetwork(nn.Module):
    """Answers on the scale of the transformed label (log10(GPa), say): members have scalings of their own."""

    def __init__(self, settings: EnsembleSettings, sources: Sequence[nn.Module], members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.settings = settings
        self.sources = nn.ModuleList(sources)
        self.members = nn.ModuleList(members)

    def forward(self, batch: CompositeBatch) -> Tensor:
        """(B,) float32."""
        return self.weighted(self.member_outputs(batch))

    def weighted(self, outputs: Tensor) -> Tensor:
        """What `member_outputs` gives -> (B,) float32."""
        weights = torch.tensor([member.weight for member in self.settings.members], dtype=torch.float64)
        return (outputs @ weights.to(outputs.device)).float()

    def member_outputs(self, batch: CompositeBatch) -> Tensor:
        """What each member predicts of the transformed label, (B, members) float64."""
        extra = self.source_columns(batch)
        columns = []
        for settings, network in zip(self.settings.members, self.members, strict=True):
            outputs = network(_given(settings, batch, extra)).double()
            scaling = settings.scaling
            columns.append(outputs * scaling.std + scaling.mean if scaling.kind == "standard" else outputs)
        return torch.stack(columns, dim=1)

    def source_columns(self, batch: CompositeBatch) -> Tensor | None:
        """Outputs of the sources on their learned scales, (B, sources) float32."""
        if not self.sources:
            return None
        found = [
            network(batch.parts[settings.reads]).float()
            for settings, network in zip(self.settings.sources, self.sources, strict=True)
        ]
        return torch.stack(found, dim=1)


def _given(settings: MemberSettings, batch: CompositeBatch, extra: Tensor | None) -> object:
    given = batch.parts[settings.reads]
    if not isinstance(given, Tensor):
        return given
    if settings.n_columns is not None:
        given = given[:, : settings.n_columns]
    if settings.with_sources and extra is not None:
        given = torch.cat([given, extra], dim=1)
    return given
