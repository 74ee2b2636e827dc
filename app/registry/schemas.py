"""What the registry says over HTTP."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.registry.manifest import Architecture, InputKind, Metrics, PropertyRecord, TrainingRecord, TrustRecord

_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


# PostgreSQL takes no NUL in a text.
Reason = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]


class ParentRead(BaseModel):
    """The version whose weights the training started from."""

    name: str = Field(examples=["cgcnn-formation-energy"], description="Name of the model.")
    version: int = Field(examples=[1], description="Its version.")
    sha256: str = Field(description="sha256 of its weights.", examples=[_SHA256])


class ModelVersionRead(BaseModel):
    """One immutable, trained model."""

    model_config = ConfigDict(protected_namespaces=())

    name: str = Field(description="The model it is a version of.", examples=["cgcnn-formation-energy"])
    version: int = Field(description="Counts from 1 within the model; never given twice.", examples=[1])
    id: str = Field(examples=["mv_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"], description="Names it for good.")
    property: PropertyRecord = Field(description="What it predicts, with unit and definition.")
    input_kind: InputKind = Field(description="What it predicts from.")
    architecture: Architecture = Field(description="Kind of network or regressor.")
    method: str = Field(description="How it was trained.", examples=["fine_tune"])
    description: str = Field(examples=["Crystal graph network for formation energies."], description="In words.")
    scope: str = Field(description="On which materials it may be used; empty = on all.", examples=["non-metals"])
    metrics: Metrics = Field(description="Errors on each split, in the property's unit.")
    elements: list[str] = Field(description="Elements it saw in training.", examples=[["Na", "Cl"]])
    source: str = Field(description="`shipped`, `fine_tuning` or `import`.", examples=["shipped"])
    dataset: str = Field(description="Name of the data it was trained on.", examples=["bulk moduli of oxides"])
    dataset_id: str | None = Field(description="The data set here, when it was uploaded here.", examples=[None])
    job_id: str | None = Field(description="The job that made it.", examples=[None])
    parent: ParentRead | None = Field(description="The version whose weights the training started from; null: none.")
    aliases: list[str] = Field(description="Aliases that point at it.", examples=[["champion"]])
    sha256: str = Field(description="sha256 of the weights.", examples=[_SHA256])
    size_bytes: int = Field(description="Size of the weights.", examples=[431_544])
    created_at: datetime = Field(description="When it was registered here.", examples=["2026-11-21T16:40:12Z"])


class ModelRead(BaseModel):
    """A named line of versions that predict one property."""

    name: str = Field(examples=["cgcnn-formation-energy"], description="Name of the model.")
    property_key: str = Field(
        examples=["formation_energy_per_atom"], description="Key of the property that it predicts."
    )
    input_kind: InputKind = Field(description="What it predicts from.")
    description: str = Field(description="In words.", examples=["Crystal graph network for formation energies."])
    aliases: dict[str, int] = Field(description="Alias -> version.", examples=[{"champion": 1}])
    champion: ModelVersionRead | None = Field(description="The version that answers when only the name is given.")
    created_at: datetime = Field(
        description="When it was first registered here, UTC.", examples=["2026-11-21T16:40:12Z"]
    )


class LineageRead(BaseModel):
    """Where a version comes from and what came from it."""

    version: ModelVersionRead = Field(description="The version that was asked about.")
    ancestors: list[ModelVersionRead] = Field(description="Its parent, the parent's parent, and so on.")
    children: list[ModelVersionRead] = Field(description="Versions that started from its weights.")


class ModelCardRead(BaseModel):
    """The model card, for programs."""

    version: ModelVersionRead = Field(description="The version that the card is of.")
    training: TrainingRecord = Field(description="How it was made.")
    trust: TrustRecord | None = Field(description="What is known of its errors; null: no intervals.")
    markdown: str = Field(description="The card as people read it.", examples=["# cgcnn-formation-energy/2"])


class AliasUpdate(BaseModel):
    """Where an alias is to point."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, le=2**31 - 1, description="A version of the model.", examples=[1])
    reason: Reason = Field(default="", description="Kept in the history.", examples=["better on our hold-out set"])


class AliasRollback(BaseModel):
    """Why an alias goes back."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(default="", description="Kept in the history.", examples=["worse on nitrides"])


class AliasRead(BaseModel):
    """A movable pointer. The ETag header holds its revision."""

    name: str = Field(examples=["cgcnn-formation-energy"], description="Name of the model.")
    alias: str = Field(examples=["champion"], description="Name of the alias.")
    version: int = Field(examples=[1], description="The version that it points at.")
    revision: int = Field(description="Changes with every move.", examples=[1])
    updated_at: datetime = Field(description="When it was last moved, UTC.", examples=["2026-11-21T16:40:12Z"])


class AliasChangeRead(BaseModel):
    """One move of an alias."""

    kind: str = Field(description="`set`, `rollback` or `delete`.", examples=["set"])
    from_version: int | None = Field(description="null = the alias did not exist.", examples=[None])
    to_version: int | None = Field(description="null = the alias was removed.", examples=[1])
    reason: str = Field(examples=["first version"], description="As given with the move.")
    changed_at: datetime = Field(description="When it was moved, UTC.", examples=["2026-11-21T16:40:12Z"])


class AliasHistory(BaseModel):
    """Every move, newest first."""

    items: list[AliasChangeRead] = Field(description="Newest first.")
