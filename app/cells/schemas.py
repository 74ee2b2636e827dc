"""What is said of structures as they were read."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.predictions.schemas import PredictionInput, refuse_endless

Vector = Annotated[list[float], Field(min_length=3, max_length=3)]


class StructuresRequest(BaseModel):
    """Structures to read."""

    model_config = ConfigDict(extra="forbid")

    inputs: Annotated[list[PredictionInput], BeforeValidator(refuse_endless)] = Field(
        min_length=1, description="Crystals as in /v1/predictions, at most 1000 as installed."
    )


class CellRead(BaseModel):
    """The unit cell."""

    vectors: list[Vector] = Field(
        description="a, b and c, Cartesian, Å.",
        min_length=3,
        max_length=3,
        examples=[[[5.64, 0.0, 0.0], [0.0, 5.64, 0.0], [0.0, 0.0, 5.64]]],
    )
    a: float = Field(description="Length, Å.", examples=[5.64])
    b: float = Field(description="Length, Å.", examples=[5.64])
    c: float = Field(description="Length, Å.", examples=[5.64])
    alpha: float = Field(description="Angle of b and c, degrees.", examples=[90.0])
    beta: float = Field(description="Angle of a and c, degrees.", examples=[90.0])
    gamma: float = Field(description="Angle of a and b, degrees.", examples=[90.0])
    volume: float = Field(description="Å³.", examples=[179.4])


class SiteRead(BaseModel):
    """An atom of the cell, after all symmetry was applied."""

    element: str = Field(examples=["Na"], description="Symbol of the element.")
    position: Vector = Field(description="In fractions of a, b and c, 0 to 1.", examples=[[0.0, 0.5, 0.5]])


class StructureRead(BaseModel):
    """A crystal as the models see it."""

    input_id: str = Field(description="`id` of the input, or its place, from 0.", examples=["salt"])
    formula: str = Field(description="Reduced, in alphabetical order.", examples=["ClNa"])
    n_sites: int = Field(description="Atoms in the cell.", examples=[8])
    elements: dict[str, int] = Field(description="Atoms of each element in the cell.", examples=[{"Cl": 4, "Na": 4}])
    cell: CellRead = Field(description="The unit cell as it was given, or as its symmetry makes it.")
    sites: list[SiteRead] = Field(description="Every atom of the cell.")
    notes: list[str] = Field(
        description="What had to be assumed while the input was read.", examples=[["deuterium (D) read as hydrogen"]]
    )


class StructureFailed(BaseModel):
    """Why an input is no usable structure."""

    input_id: str = Field(description="`id` of the input, or its place, from 0.", examples=["garbage"])
    code: str = Field(description="Stable code of the reason.", examples=["disordered_structure"])
    detail: str = Field(description="The reason in words.", examples=["Site Na1 is occupied by half an atom."])


class StructuresAnswer(BaseModel):
    """Structures in the order of the inputs; what failed is listed beside them."""

    structures: list[StructureRead] = Field(description="Those that can be used.")
    errors: list[StructureFailed] = Field(description="Those that cannot.")
