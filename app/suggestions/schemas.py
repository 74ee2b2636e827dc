"""Requests and answers of suggestions."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.core.errors import TooManyInputs
from app.core.settings import MAX_INPUTS_PER_REQUEST
from app.learning.acquisition.strategy import Optimum, Strategy
from app.predictions.schemas import (
    DEFAULT_LEVEL,
    LEVEL_DESCRIPTION,
    IntervalLevel,
    ModelReference,
    Prediction,
    PredictionError,
    PredictionInput,
    Reference,
)

MAX_SUGGESTIONS = 500
DEFAULT_SUGGESTIONS = 10
MAX_DATASET_CANDIDATES = 5000


class TargetRequest(BaseModel):
    """What is looked for: more than `above`, less than `below`, a value between both, or the `optimum`."""

    model_config = ConfigDict(extra="forbid")

    above: float | None = Field(
        default=None, allow_inf_nan=False, description="In the unit of the property.", examples=[200.0]
    )
    below: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="In the unit of the property; with `above`, a range.",
        examples=[300.0],
    )
    optimum: Optimum | None = Field(
        default=None, description="Better than every training label that goes with the model: `highest` or `lowest`."
    )

    @model_validator(mode="after")
    def _one_wish(self) -> Self:
        has_bounds = self.above is not None or self.below is not None
        if has_bounds == (self.optimum is not None):
            raise ValueError("give `above`, `below` or both, or else `optimum`")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"nothing lies above {self.above:g} and below {self.below:g}")
        return self


def _refuse_endless(candidates: Any) -> Any:
    if isinstance(candidates, list) and len(candidates) > MAX_INPUTS_PER_REQUEST:
        raise TooManyInputs(f"{len(candidates):,} candidates are far more than one request may have. Upload them.")
    return candidates


class SuggestionWish(BaseModel):
    """How to rank, whatever the candidates are."""

    model_config = ConfigDict(extra="forbid")

    model: Reference = Field(
        description="The model whose next labels these are: `NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`.",
        examples=["elemnet-formation-energy"],
    )
    strategy: Strategy = Field(
        default=Strategy.BATCH,
        description="`batch`: materials that speak for many others about which the model is unsure. `uncertainty`: the "
        "largest expected errors. `diversity`: what is farthest from everything that has a label. `target`: what is "
        "likeliest to be what `target` says.",
    )
    count: int = Field(default=DEFAULT_SUGGESTIONS, ge=1, description="How many to suggest, at most.")
    target: TargetRequest | None = Field(default=None, description="What is looked for; with strategy `target` only.")
    interval_level: IntervalLevel = Field(default=DEFAULT_LEVEL, description=LEVEL_DESCRIPTION)

    @model_validator(mode="after")
    def _target_where_it_is_used(self) -> Self:
        if (self.strategy is Strategy.TARGET) != (self.target is not None):
            raise ValueError("strategy `target` and the field `target` belong together: give both or neither")
        return self


class SuggestionRequest(SuggestionWish):
    """Candidates and how to rank them; exactly one of `candidates` and `dataset_id`."""

    count: int = Field(
        default=DEFAULT_SUGGESTIONS, ge=1, le=MAX_SUGGESTIONS, description="How many to suggest, at most."
    )
    candidates: Annotated[list[PredictionInput] | None, BeforeValidator(_refuse_endless)] = Field(
        default=None, min_length=1, description="Crystals or compositions, at most 1000 as installed."
    )
    dataset_id: str | None = Field(
        default=None,
        max_length=100,
        description=f"A stored data set whose rows are the candidates, at most {MAX_DATASET_CANDIDATES:,}; its labels "
        "are not looked at.",
        examples=["ds_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"],
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.candidates is None) == (self.dataset_id is None):
            raise ValueError("give exactly one of `candidates` and `dataset_id`")
        return self


class Suggestion(BaseModel):
    """A candidate to measure."""

    rank: int = Field(description="From 1, the best.", examples=[1])
    input_id: str = Field(description="`id` of the candidate, or its place, from 0.", examples=["strontium-titanate"])
    formula: str = Field(description="Reduced, in alphabetical order.", examples=["O3SrTi"])
    score: float = Field(description="What `score_meaning` says.", examples=[0.031])
    reason: str = Field(
        description="Why, in words.",
        examples=["speaks for 12 of 340 candidates; expected error 0.08 eV/atom; the nearest label is that of O3SrTi"],
    )
    prediction: Prediction = Field(description="What the model says of it: value, unit, interval, domain.")


class SetAsideReason(StrEnum):
    TRAINING_DATA = "in_training_data"
    HELD_OUT_DATA = "in_held_out_data"
    REPEAT = "repeats_candidate"


class SetAside(BaseModel):
    """A candidate that is not ranked, because its label is known or comes with that of another."""

    input_id: str = Field(description="`id` of the candidate, or its place, from 0.", examples=["strontium-titanate"])
    code: SetAsideReason = Field(description="Why it is not ranked.")
    detail: str = Field(description="Which row it is the same as.", examples=["the same as the training row O3SrTi"])


class SuggestionAnswer(BaseModel):
    """Candidates in the order in which to measure them. The same request gives the same answer."""

    model: ModelReference = Field(description="The exact model that answered.")
    strategy: Strategy = Field(description="By what it was ranked.")
    score_meaning: str = Field(description="What scores are, and in which unit.", examples=["expected error, eV/atom"])
    n_ranked: int = Field(
        description="Candidates that were ranked: all but those set aside and those in `errors`.", examples=[338]
    )
    suggestions: list[Suggestion] = Field(description="Best first.")
    set_aside: list[SetAside] = Field(description="Candidates whose label is known, or comes with that of another.")
    errors: list[PredictionError] = Field(description="Candidates that gave no value.")
