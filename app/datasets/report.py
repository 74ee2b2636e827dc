"""The validation report: what a data set holds and what is wrong with it, for the person who made it."""

from pydantic import BaseModel, ConfigDict, Field

from app.properties.catalogue import Transform
from app.registry.manifest import InputKind

MAX_LISTED = 200
"""Most entries of a list in the report; the counts beside it are always complete."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class RowFailure(_Part):
    """A row that cannot be used."""

    line: int = Field(description="Line or row of the file, from 1, where the row begins.", examples=[17])
    row_id: str = Field(description="The row's `id`, else its line.", examples=["mp-149"])
    code: str = Field(description="Stable code of the reason.", examples=["disordered_structure"])
    detail: str = Field(description="What is wrong, in words.")


class DuplicateRow(_Part):
    """A row that repeats an earlier one, input and label; it was left out."""

    row_id: str
    first_row_id: str = Field(description="The row that was kept.")


class SimilarRows(_Part):
    """Rows of one formula, with different structures but the same label: perhaps one material twice. They were kept."""

    formula: str
    row_ids: list[str]


class LabelConflict(_Part):
    """Rows of the same input with different labels; all were kept."""

    formula: str
    row_ids: list[str]
    values: list[float] = Field(description="The labels, in the property's unit.")


class Outlier(_Part):
    """A label far from the others; it was kept."""

    row_id: str
    value: float = Field(description="In the property's unit.")
    robust_z: float = Field(description="Distance from the median in robust standard deviations, on the learned scale.")


class Histogram(_Part):
    """How the usable labels are spread."""

    scale: Transform = Field(description="On which the bins are equally wide: that on which the labels are learned.")
    edges: list[float] = Field(description="Of the bins, in the property's unit; one more than counts.")
    counts: list[int] = Field(description="Rows in each bin.")


class LabelStatistics(_Part):
    """The usable labels, in the property's unit."""

    unit: str = Field(examples=["GPa"])
    min: float
    max: float
    mean: float
    median: float
    std: float
    mad: float = Field(description="Mean absolute deviation from the mean: the error of always answering the mean.")
    histogram: Histogram | None = Field(default=None, description="null for data sets from before there was one.")


class UnseenElements(_Part):
    """Elements of the data set that a champion model never saw in training."""

    model: str = Field(examples=["cgcnn-formation-energy"])
    version: int = Field(examples=[1])
    elements: list[str] = Field(examples=[["Pu"]])
    n_rows: int = Field(description="Rows that hold one of them.")


class ValidationReport(_Part):
    """Row by row findings and the state of the whole."""

    format: str = Field(examples=["csv"])
    input_kind: InputKind | None = Field(description="What each row holds; null when no row could be used.")
    input_column: str = Field(examples=["cif"])
    label_column: str = Field(examples=["k_vrh"])
    n_rows: int = Field(description="Rows in the file.")
    n_usable: int = Field(description="Rows that were kept.")
    n_failed: int = Field(description="Rows that cannot be used.")
    n_duplicates: int = Field(description="Rows left out because they repeat another.")
    n_conflicts: int = Field(description="Inputs that come with several different labels.")
    n_outliers: int
    n_formulas: int = Field(description="Different reduced formulas among the usable rows.")
    failures: list[RowFailure] = Field(description=f"At most {MAX_LISTED}; `failure_counts` counts all.")
    failure_counts: dict[str, int] = Field(description="Rows by code of their failure.")
    duplicates: list[DuplicateRow]
    similar: list[SimilarRows]
    conflicts: list[LabelConflict]
    outliers: list[Outlier]
    labels: LabelStatistics | None
    elements: dict[str, int] = Field(description="Usable rows that hold each element.", examples=[{"O": 412}])
    unseen_elements: list[UnseenElements] = Field(description="By each champion model of the same kind of input.")
    warnings: list[str] = Field(description="What to look at before training.")
