"""What is looked for: bounds that properties must keep, what is best among those that do, and how many to name."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from app.bulk.filtering import ElementFilter
from app.predictions.schemas import DEFAULT_LEVEL, LEVEL_DESCRIPTION, MAX_MODELS, IntervalLevel, Reference

MAX_CONSTRAINTS = 20
MAX_OBJECTIVES = 3
MAX_SELECTED = 10_000
DEFAULT_SELECTED = 100
POOL_OF_EACH_PICK = 10


Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Constraint(_Part):
    """Bounds on a property, in its unit (`GET /v1/properties`)."""

    property: Reference = Field(description="Key of the property.", examples=["band_gap"])
    at_least: Finite | None = Field(default=None, description="In the unit of the property.", examples=[1.0])
    at_most: Finite | None = Field(default=None, description="In the unit of the property.", examples=[2.0])

    @model_validator(mode="after")
    def _something_lies_within(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"give `at_least`, `at_most` or both for {self.property}")
        if self.at_least is not None and self.at_most is not None and self.at_least >= self.at_most:
            raise ValueError(f"{self.property} cannot be at least {self.at_least:g} and at most {self.at_most:g}")
        return self


class Goal(StrEnum):
    MAXIMISE = "maximise"
    MINIMISE = "minimise"
    TARGET = "target"


class Objective(_Part):
    """What is best: much or little of a property, or a value near `target`."""

    property: Reference = Field(description="Key of the property.", examples=["formation_energy_per_atom"])
    goal: Goal = Field(description="`maximise`, `minimise`, or come near to `target`.")
    target: Finite | None = Field(
        default=None, description="In the unit of the property; with goal `target` only.", examples=[1.34]
    )

    @model_validator(mode="after")
    def _target_where_it_is_used(self) -> Self:
        if (self.goal is Goal.TARGET) != (self.target is not None):
            raise ValueError("goal `target` and the field `target` belong together: give both or neither")
        return self


class RankBy(StrEnum):
    PROBABILITY = "probability"
    OBJECTIVE = "objective"
    PARETO = "pareto"


class Joint(StrEnum):
    """How probabilities of several constraints are put together."""

    INDEPENDENT = "independent"
    FRECHET = "frechet"


class ScreeningWish(BaseModel):
    """What is looked for, whatever the candidates are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    constraints: tuple[Constraint, ...] = Field(
        default=(), max_length=MAX_CONSTRAINTS, description="What each candidate must meet; one for each property."
    )
    objectives: tuple[Objective, ...] = Field(
        default=(),
        max_length=MAX_OBJECTIVES,
        description="What is best among those that meet the constraints. One ranks by its expected value; two or three "
        "rank by Pareto fronts.",
    )
    models: tuple[Reference, ...] | None = Field(
        default=None, min_length=1, max_length=MAX_MODELS, description="Models to use, `NAME`, `NAME@ALIAS` or "
        "`NAME/VERSION`; for a property that none of them predicts, its champion answers.",
        examples=[["cgcnn-band-gap"]],
    )  # fmt: skip
    properties: tuple[Reference, ...] = Field(
        default=(),
        max_length=MAX_MODELS,
        description="More properties to predict and report, beside those of constraints and objectives.",
    )
    elements: ElementFilter | None = Field(default=None, description="Which compositions are looked at.")
    in_domain: StrictBool = Field(
        default=True,
        description="Only candidates like the training data of every model that answers: looking for extremes finds "
        "those whose values are wrong. false: all, and the results say which are not.",
    )
    min_probability: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Smallest probability of meeting all constraints that a ranked candidate may have.",
    )
    joint: Joint = Field(
        default=Joint.INDEPENDENT,
        description="Probability of meeting several constraints: `independent` multiplies (errors of different "
        "properties taken as independent), `frechet` takes the lowest that any dependence allows.",
    )
    rank_by: RankBy | None = Field(
        default=None,
        description="`probability` of meeting all constraints; `objective`, its expected value; `pareto`, fronts of "
        "two or three objectives. Default: what the objectives allow.",
    )
    count: int = Field(default=DEFAULT_SELECTED, ge=1, le=MAX_SELECTED, description="Most candidates to select.")
    diverse: StrictBool = Field(
        default=False,
        description=f"true: of the best {POOL_OF_EACH_PICK} x `count`, those that differ most in composition (greedy "
        "k-centre, the best one first).",
    )
    interval_level: IntervalLevel = Field(default=DEFAULT_LEVEL, description=LEVEL_DESCRIPTION)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        for what, keys in (
            ("constraints", [each.property for each in self.constraints]),
            ("objectives", [each.property for each in self.objectives]),
        ):
            if len(set(keys)) < len(keys):
                raise ValueError(f"two {what} are about one property: give one with all that is wanted")
        if not self.property_keys:
            raise ValueError("nothing is looked for: give constraints, objectives or properties")
        if self.rank_by is RankBy.OBJECTIVE and len(self.objectives) != 1:
            raise ValueError("rank_by `objective` needs exactly one objective")
        if self.rank_by is RankBy.PARETO and len(self.objectives) < 2:
            raise ValueError("rank_by `pareto` needs two or three objectives")
        return self

    @property
    def property_keys(self) -> tuple[str, ...]:
        """Of all that is to be predicted, each once."""
        asked: tuple[Constraint | Objective, ...] = (*self.constraints, *self.objectives)
        return tuple(dict.fromkeys([*(each.property for each in asked), *self.properties]))

    @property
    def ranking(self) -> RankBy:
        if self.rank_by is not None:
            return self.rank_by
        return (RankBy.PROBABILITY, RankBy.OBJECTIVE, RankBy.PARETO)[min(len(self.objectives), 2)]
