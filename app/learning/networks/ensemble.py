"""Several models in one checkpoint: the weighted mean of what they predict.

A member may be a network, or a baseline whose rows go on with what pretrained networks ("sources") that are part of the
checkpoint too give: their outputs (stacking, Wolpert 1992), or the features they answer from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.learning.networks.ensemble_settings import EnsembleSettings, MemberSettings
from app.learning.networks.features import outputs_and_features
from app.learning.samples import CompositeBatch


@dataclass(frozen=True, slots=True)
class SourceColumns:
    """Of each row what the sources give: `outputs` (B, S) on their learned scales, `features` (B, E); float32."""

    outputs: Tensor
    features: Tensor


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
        known = self.source_columns(batch)
        columns = []
        for settings, network in zip(self.settings.members, self.members, strict=True):
            outputs = network(_given(settings, batch, known)).double()
            scaling = settings.scaling
            columns.append(outputs * scaling.std + scaling.mean if scaling.kind == "standard" else outputs)
        return torch.stack(columns, dim=1)

    def source_columns(self, batch: CompositeBatch) -> SourceColumns | None:
        """None of an ensemble without sources."""
        if not self.sources:
            return None
        outputs, features = zip(
            *(
                outputs_and_features(network, batch.parts[settings.reads])
                for settings, network in zip(self.settings.sources, self.sources, strict=True)
            ),
            strict=True,
        )
        return SourceColumns(torch.stack([each.float() for each in outputs], dim=1), torch.cat(features, dim=1))


def _given(settings: MemberSettings, batch: CompositeBatch, known: SourceColumns | None) -> object:
    given = batch.parts[settings.reads]
    if not isinstance(given, Tensor):
        return given
    if settings.n_columns is not None:
        given = given[:, : settings.n_columns]
    if known is not None and settings.with_sources:
        given = torch.cat([given, known.outputs], dim=1)
    if known is not None and settings.with_embeddings:
        given = torch.cat([given, known.features], dim=1)
    return given
