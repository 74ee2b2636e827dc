"""Settings of the crystal graph."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

GRAPH_RULES = 2
"""Counts the changes of the code that makes graphs from settings, so that graphs on disk are made again."""


class GraphSettings(BaseModel):
    """How neighbours are chosen. Part of every structure model's manifest.

    With `ties` "complete", all neighbours tied with the last one are kept and share the places left. "strict" keeps
    exactly `n_neighbours`, whichever of the tied come first: networks trained that way need it, and their predictions
    can depend on the order of the atoms and the choice of the cell.

    With `n_neighbours` of null an atom's neighbours are all within the cutoff (a radius graph, for SchNet). With
    `merge_equivalent`, atoms with equal surroundings are one node (see `app.learning.graphs.quotient`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoff: float = Field(default=8.0, gt=0, description="Å. No neighbour lies beyond.")
    n_neighbours: int | None = Field(
        default=12, ge=1, description="Nearest neighbours of each atom; null for all within the cutoff."
    )
    ties: Literal["complete", "strict"] = "complete"
    tie_tolerance: float = Field(
        default=0.01, ge=0, description="Å. Neighbours this little beyond the last one belong to its shell."
    )
    merge_equivalent: bool = True
    max_edges: int = Field(default=2_000_000, description="Bound before the arrays are made.")
