"""Requests and answers of predictions."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.core.errors import TooManyInputs
from app.core.settings import MAX_INPUTS_PER_REQUEST
from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF

CONTENT_FIELDS = ("cif", "poscar", "structure", "composition")

DEFAULT_LEVEL = 0.9
MAX_NEIGHBOURS = 20
LEVEL_DESCRIPTION = "Share of true values that intervals are to hold, 0.5 to 0.99."
NEIGHBOURS_DESCRIPTION = "How many of the nearest training rows to list with each value, up to 20."

IntervalLevel = Annotated[float, Field(ge=0.5, le=0.99)]
NeighbourCount = Annotated[int, Field(ge=0, le=MAX_NEIGHBOURS)]
MAX_MODELS = 50
"""Most models, or properties, that a request may name."""

Reference = Annotated[str, Field(min_length=1, max_length=300)]


class PredictionInput(BaseModel):
    """One crystal or composition; exactly one of `cif`, `poscar`, `structure`, `composition`."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Your name for it; default: its place, from 0.",
        examples=["strontium-titanate"],
    )
    cif: str | None = Field(
        default=None, description="CIF text. Several data blocks become inputs `ID#block`.", examples=[NACL_CIF]
    )
    poscar: str | None = Field(
        default=None, description="VASP POSCAR text, with element symbols.", examples=[DIAMOND_POSCAR]
    )
    structure: dict[str, Any] | None = Field(
        default=None,
        description="A pymatgen `Structure.as_dict()`, ASE JSON or OPTIMADE structure.",
        examples=[
            {"numbers": [55, 17], "positions": [[0, 0, 0], [2.06, 2.06, 2.06]], "cell": [4.12, 4.12, 4.12], "pbc": True}
        ],
    )
    composition: str | None = Field(
        default=None, description="A formula, e.g. `SrTiO3`, `Ca(OH)2`, `Li0.5CoO2`.", examples=["SrTiO3"]
    )

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        given = [name for name in CONTENT_FIELDS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of {', '.join(CONTENT_FIELDS)}; found: {found}")
        return self


def refuse_endless(inputs: Any) -> Any:
    if isinstance(inputs, list) and len(inputs) > MAX_INPUTS_PER_REQUEST:
        raise TooManyInputs(f"{len(inputs):,} inputs are far more than one request may have. Split it.")
    return inputs


class PredictionRequest(BaseModel):
    """What to predict, and with which models. Without `models` and `properties`, every champion that fits answers, but
    for those that answer only when they are named."""

    model_config = ConfigDict(extra="forbid")

    inputs: Annotated[list[PredictionInput], BeforeValidator(refuse_endless)] = Field(
        min_length=1, description="Crystals and compositions, at most 1000 as installed; larger sets go in parts."
    )
    models: list[Reference] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MODELS,
        description="`NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`.",
        examples=[["elemnet-formation-energy"]],
    )
    properties: list[Reference] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MODELS,
        description="Property keys: the champions of these properties answer.",
        examples=[["formation_energy_per_atom"]],
    )
    interval_level: IntervalLevel = Field(default=DEFAULT_LEVEL, description=LEVEL_DESCRIPTION)
    neighbours: NeighbourCount = Field(default=0, description=NEIGHBOURS_DESCRIPTION)

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if self.models is not None and self.properties is not None:
            raise ValueError("give models or properties, not both: a model predicts one property")
        return self


class ModelReference(BaseModel):
    """The exact model that answered."""

    name: str = Field(examples=["cgcnn-formation-energy"], description="Name of the model.")
    version: int = Field(description="Counts from 1 within the model.", examples=[1])
    sha256: str = Field(
        description="SHA-256 of the weights.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class Interval(BaseModel):
    """A prediction interval, in the value's unit, for materials like those the model was tested on."""

    level: float = Field(description="Share of true values it is made to hold, e.g. 0.9.", examples=[0.9])
    lower: float = Field(description="Lower end.", examples=[-3.62])
    upper: float = Field(description="Upper end.", examples=[-3.03])


class Domain(BaseModel):
    """Whether the input is like what the model was trained on."""

    in_domain: bool = Field(
        description="false: the value may be far off, and its interval too narrow.", examples=[True]
    )
    score: float | None = Field(
        description="Distance from the training data, in the model's representation and in composition, beside that "
        "of its nearest rows from each other; 1 at the limit. null where it is not measured.",
        examples=[0.6],
    )
    reason: str = Field(description="Why.", examples=["element(s) Pu not in the training data"])


class NeighbourRead(BaseModel):
    """A row that the model was trained on."""

    formula: str = Field(description="Reduced, in alphabetical order.", examples=["O3SrTi"])
    distance: float = Field(
        description="In the model's representation, in spreads of its training data.", examples=[0.42]
    )
    value: float = Field(description="Its label, in the unit of the prediction.", examples=[-3.4])


class Prediction(BaseModel):
    """One value of one property of one input, from one model."""

    input_id: str = Field(description="`id` of the input, or its place, from 0.", examples=["strontium-titanate"])
    property: str = Field(description="Key of the property.", examples=["formation_energy_per_atom"])
    value: float = Field(description="In `unit`.", examples=[-3.32])
    unit: str = Field(description="Unit of the value; `1` for a plain number.", examples=["eV/atom"])
    definition: str = Field(
        description="What the value is: functional, per what.",
        examples=["Energy of formation from the elements' standard states, per atom, DFT (PBE), 0 K."],
    )
    model: ModelReference = Field(description="The exact model that answered.")
    interval: Interval | None = Field(
        description="null: this model carries no calibrated interval, or none of this level, which `notes` then say."
    )
    domain: Domain | None = Field(description="null: not measured, and no element is new to the model.")
    neighbours: list[NeighbourRead] | None = Field(
        default=None, description="The nearest training rows, where the request asks for them; null: not known."
    )
    notes: list[str] = Field(
        description="What had to be assumed while the input was read, and on which materials alone the model may be "
        "used.",
        examples=[["deuterium (D) read as hydrogen"]],
    )


class PredictionError(BaseModel):
    """Why an input, or one model for it, gave no value."""

    input_id: str = Field(description="`id` of the input, or its place, from 0.", examples=["garbage"])
    code: str = Field(description="Stable code of the reason.", examples=["invalid_composition"])
    detail: str = Field(description="The reason in words.", examples=["The composition is empty: write a formula."])
    model: ModelReference | None = Field(description="The model that failed; null: the input itself cannot be used.")


class PredictionAnswer(BaseModel):
    """Values in the order of the inputs; what failed is listed beside them."""

    predictions: list[Prediction] = Field(description="One for each input and model that worked.")
    errors: list[PredictionError] = Field(description="Inputs, or models for an input, that gave no value.")
