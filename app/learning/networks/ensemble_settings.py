"""What an ensemble is made of, as its manifest tells it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.learning.descriptors.catalogue import Descriptor
from app.registry.manifest import Architecture, TargetScaling

GRAPH = "graph"
"""How the graph of a crystal is called among the things that members read."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceSettings(_Frozen):
    """A pretrained network, and what it reads: `graph` or the name of a descriptor."""

    label: str
    architecture: Architecture
    network: dict[str, Any]
    reads: str


class MemberSettings(_Frozen):
    """A model, what it reads, and what of the answer is its share.

    `n_columns`: it reads only the first columns of the descriptor. `with_sources`: the sources' outputs follow them;
    `with_embeddings`: then the features the sources answer from.
    """

    label: str
    architecture: Architecture
    network: dict[str, Any]
    reads: str
    n_columns: int | None = Field(default=None, ge=0)
    with_sources: bool = False
    with_embeddings: bool = False
    scaling: TargetScaling
    weight: float = Field(ge=0.0, le=1.0)

    @property
    def needs_sources(self) -> bool:
        return self.with_sources or self.with_embeddings


class EnsembleSettings(_Frozen):
    """Weights of the members sum to 1; `descriptors` are the vectors that members read."""

    descriptors: tuple[Descriptor, ...] = ()
    sources: tuple[SourceSettings, ...] = ()
    members: tuple[MemberSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "EnsembleSettings":
        known = {GRAPH, *(descriptor.value for descriptor in self.descriptors)}
        entries: list[SourceSettings | MemberSettings] = [*self.sources, *self.members]
        for entry in entries:
            if entry.reads not in known:
                raise ValueError(f"{entry.label} reads {entry.reads!r}, which is not among {sorted(known)}")
            if entry.architecture is Architecture.ENSEMBLE:
                raise ValueError("an ensemble cannot be part of an ensemble")
        if any(member.scaling.kind == "tanh" for member in self.members):
            raise ValueError("members with tanh scaling cannot be averaged")
        if any(member.needs_sources for member in self.members) and not self.sources:
            raise ValueError("a member reads what sources predict, but there are none")
        if any(member.n_columns == 0 and not member.needs_sources for member in self.members):
            raise ValueError("a member reads nothing: n_columns is 0, and it does without sources")
        if abs(sum(member.weight for member in self.members) - 1.0) > 1e-6:
            raise ValueError("the weights of the members must sum to 1")
        return self

    @property
    def reads_graph(self) -> bool:
        return GRAPH in {*(source.reads for source in self.sources), *(member.reads for member in self.members)}
