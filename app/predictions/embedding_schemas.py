"""Requests and answers of embeddings."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from app.predictions.schemas import ModelReference, PredictionError, PredictionInput, Reference, refuse_endless


class EmbeddingRequest(BaseModel):
    """What to embed, and with which model."""

    model_config = ConfigDict(extra="forbid")

    inputs: Annotated[list[PredictionInput], BeforeValidator(refuse_endless)] = Field(
        min_length=1, description="Crystals and compositions, at most 1000 as installed; larger sets go in parts."
    )
    model: Reference = Field(
        description="`NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`.", examples=["cgcnn-formation-energy"]
    )
    contributions: StrictBool = Field(
        default=False, description="Also what each atom adds to the value, which SchNet models alone can tell."
    )


class AtomRead(BaseModel):
    """Atoms with the same surroundings, by symmetry or by chance."""

    element: str = Field(examples=["O"], description="Symbol of the element.")
    share: float = Field(description="Of the atoms of the cell, 0 to 1.", examples=[0.6])
    contribution: float = Field(
        description="In the property's unit. The mean over the atoms (of models of whole cells, the sum) is the value.",
        examples=[-3.1],
    )


class Embedding(BaseModel):
    """The features of one input."""

    input_id: str = Field(description="`id` of the input, or its place, from 0.", examples=["salt"])
    vector: list[float] = Field(description="Of length `dimension`.", examples=[[0.12, -0.07, 1.3]])
    atoms: list[AtomRead] | None = Field(description="null: not asked for.")


class EmbeddingAnswer(BaseModel):
    """Vectors in the order of the inputs; what failed is listed beside them."""

    model: ModelReference = Field(description="The exact model that answered.")
    dimension: int = Field(description="Length of the vectors.", examples=[96])
    kind: str = Field(description="What the vectors are.", examples=["pooled atom features"])
    embeddings: list[Embedding] = Field(description="One for each input that could be used.")
    errors: list[PredictionError] = Field(description="Inputs that gave no vector.")
