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
    detail: str = Field(description="What is wrong, in words.", examples=["The label is not a number."])


class DuplicateRow(_Part):
    """A row that repeats an earlier one, input and label; it was left out."""

    row_id: str = Field(description="`id` of the row, or its place in the file, from 1.", examples=["31"])
    first_row_id: str = Field(description="The row that was kept.", examples=["12"])


class SimilarRows(_Part):
    """Rows of one formula, with different structures but the same label: perhaps one material twice. They were kept."""

    formula: str = Field(description="Reduced formula that they share.", examples=["NaCl"])
    row_ids: list[str] = Field(
        description="`id` of these rows, or their places in the file, from 1.", examples=[["12", "31"]]
    )


class LabelConflict(_Part):
    """Rows of the same input with different labels; all were kept."""

    formula: str = Field(description="Reduced formula of the input.", examples=["NaCl"])
    row_ids: list[str] = Field(
        description="`id` of these rows, or their places in the file, from 1.", examples=[["12", "31"]]
    )
    values: list[float] = Field(description="The labels, in the property's unit.", examples=[[24.6, 31.0]])


class Outlier(_Part):
    """A label far from the others; it was kept."""

    row_id: str = Field(description="`id` of the row, or its place in the file, from 1.", examples=["31"])
    value: float = Field(description="In the property's unit.", examples=[436.0])
    robust_z: float = Field(
        description="Distance from the median in robust standard deviations, on the learned scale.", examples=[5.2]
    )


class Histogram(_Part):
    """How the usable labels are spread."""

    scale: Transform = Field(description="On which the bins are equally wide: that on which the labels are learned.")
    edges: list[float] = Field(
        description="Of the bins, in the property's unit; one more than counts.", examples=[[0.0, 50.0, 100.0]]
    )
    counts: list[int] = Field(description="Rows in each bin.", examples=[[120, 80]])


class LabelStatistics(_Part):
    """The usable labels, in the property's unit."""

    unit: str = Field(examples=["GPa"], description="Unit of the labels.")
    min: float = Field(description="Smallest label, in `unit`.", examples=[4.2])
    max: float = Field(description="Largest label, in `unit`.", examples=[436.0])
    mean: float = Field(description="Mean label, in `unit`.", examples=[101.3])
    median: float = Field(description="Median label, in `unit`.", examples=[88.0])
    std: float = Field(description="Standard deviation of the labels, in `unit`.", examples=[72.5])
    mad: float = Field(
        description="Mean absolute deviation from the mean: the error of always answering the mean.", examples=[57.1]
    )
    histogram: Histogram | None = Field(default=None, description="null for data sets from before there was one.")


class UnseenElements(_Part):
    """Elements of the data set that a champion model never saw in training."""

    model: str = Field(examples=["cgcnn-formation-energy"], description="Name of the pretrained model.")
    version: int = Field(examples=[1], description="Version of the pretrained model.")
    elements: list[str] = Field(examples=[["Pu"]], description="Elements that it was not trained on.")
    n_rows: int = Field(description="Rows that hold one of them.", examples=[3])


class ValidationReport(_Part):
    """Row by row findings and the state of the whole."""

    format: str = Field(examples=["csv"], description="How the file was read.")
    input_kind: InputKind | None = Field(description="What each row holds; null when no row could be used.")
    input_column: str = Field(examples=["cif"], description="Column of the structures or compositions.")
    label_column: str = Field(examples=["k_vrh"], description="Column of the labels.")
    n_rows: int = Field(description="Rows in the file.", examples=[420])
    n_usable: int = Field(description="Rows that were kept.", examples=[412])
    n_failed: int = Field(description="Rows that cannot be used.", examples=[5])
    n_duplicates: int = Field(description="Rows left out because they repeat another.", examples=[3])
    n_conflicts: int = Field(description="Inputs that come with several different labels.", examples=[0])
    n_outliers: int = Field(description="Rows whose label lies far from all others; they are kept.", examples=[2])
    n_formulas: int = Field(description="Different reduced formulas among the usable rows.", examples=[398])
    failures: list[RowFailure] = Field(description=f"At most {MAX_LISTED}; `failure_counts` counts all.")
    failure_counts: dict[str, int] = Field(
        description="Rows by code of their failure.", examples=[{"unparsable_structure": 5}]
    )
    duplicates: list[DuplicateRow] = Field(description="Rows left out because they repeat another; the first ones.")
    similar: list[SimilarRows] = Field(description="Rows of one formula with different structures; the first ones.")
    conflicts: list[LabelConflict] = Field(description="Inputs with several different labels; the first ones.")
    outliers: list[Outlier] = Field(description="Rows whose label lies far from all others, the farthest first.")
    labels: LabelStatistics | None = Field(description="The labels of the usable rows; null: there are none.")
    elements: dict[str, int] = Field(description="Usable rows that hold each element.", examples=[{"O": 412}])
    unseen_elements: list[UnseenElements] = Field(description="By each champion model of the same kind of input.")
    refused: str | None = Field(
        default=None,
        description="Why nothing can be learned from these rows, which are then not stored; null: they are.",
        examples=["All labels are 1 eV: nothing can be learned."],
    )
    warnings: list[str] = Field(
        description="What to look at before training.",
        examples=[["3 rows hold an element that no base model has seen."]],
    )
