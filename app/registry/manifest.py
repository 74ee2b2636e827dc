"""The manifest: all that a weights file needs to answer in physical units, as versioned JSON.

The only type that `app.learning` and `app.registry` share.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.properties.catalogue import PropertySpec, TaskType, Transform

MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "MODEL_CARD.md"
TRUST_FILE = "trust.safetensors"


class InputKind(StrEnum):
    STRUCTURE = "structure"
    COMPOSITION = "composition"


class Architecture(StrEnum):
    CGCNN = "cgcnn"
    SCHNET = "schnet"
    ELEMNET = "elemnet"
    ELEMNET_REPRESENTATION = "elemnet_representation"
    BASELINE = "baseline"
    ENSEMBLE = "ensemble"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PropertyRecord(_Frozen):
    """The property as it was when the model was trained (the catalogue may move on)."""

    key: str
    label: str
    unit: str
    definition: str
    transform: Transform

    @classmethod
    def of(cls, spec: PropertySpec) -> "PropertyRecord":
        return cls(key=spec.key, label=spec.label, unit=spec.unit, definition=spec.definition, transform=spec.transform)

    def to_spec(self) -> PropertySpec:
        return PropertySpec(
            key=self.key,
            label=self.label,
            unit=self.unit,
            definition=self.definition,
            transform=self.transform,
            task_type=TaskType.REGRESSION,
        )


class TargetScaling(_Frozen):
    """How the transformed label t = transform(y) maps to what the network outputs.

    `standard`: (t - mean) / std.   `tanh`: y' = (tanh(0.01 (t - mean) / std) + 1) / 2 (Lee & Asahi 2021, eq. 6), then
    (y' - squashed_mean) / squashed_std.   `none`: t itself.
    """

    kind: Literal["none", "standard", "tanh"]
    mean: float = 0.0
    std: float = 1.0
    squashed_mean: float = 0.0
    squashed_std: float = 1.0


class SplitMetrics(_Frozen):
    """Errors on one split, in the property's unit (and on the learned scale where a transform is used)."""

    n: int
    mae: float
    rmse: float
    r2: float | None = None
    max_error: float
    mad: float = Field(description="Mean absolute deviation of the labels: the error of answering the mean.")
    mae_transformed: float | None = Field(default=None, description="MAE of the transformed label, e.g. log10(GPa).")
    mae_total: float | None = Field(default=None, description="Of energies per atom: MAE of the whole cell's, in eV.")
    within_chemical_accuracy: float | None = Field(
        default=None, description="Share of cells, 0 to 1, whose energy is off by 1 kcal/mol (0.043 eV) at most."
    )


class Metrics(_Frozen):
    train: SplitMetrics | None = None
    val: SplitMetrics | None = None
    test: SplitMetrics | None = None


class Parent(_Frozen):
    """The model version whose weights this one started from."""

    name: str
    version: int
    weights_sha256: str


class TrainingRecord(_Frozen):
    """How the weights came to be, enough to repeat it."""

    method: str
    dataset: str = Field(description="Name of the data set.")
    dataset_sha256: str | None = None
    licence: str | None = None
    split: str = Field(description="How rows were split, with seed.")
    n_train: int = Field(description="0: not recorded.")
    n_val: int
    n_test: int
    seed: int | None = Field(description="None: not recorded.")
    hyperparameters: dict[str, Any]
    best_epoch: int
    epochs: int
    filters: list[str] = Field(default_factory=list, description="Which rows were left out, by which rule, how many.")
    command: str | None = None
    wall_s: float | None = None
    device: str = "cpu"
    software: dict[str, str] = Field(default_factory=dict)
    search: dict[str, Any] | None = Field(
        default=None, description="What a search chose, and its validation errors on the learned scale."
    )


class Coverage(_Frozen):
    """Intervals of level 0.9 on rows that did not set their width."""

    n: int
    share: float = Field(description="Of the labels, 0 to 1, within their interval.")
    mean_width: float = Field(description="In the property's unit.")


class FamilyErrors(_Frozen):
    """Errors on the test rows of one family of compounds."""

    family: str
    n: int
    mae: float
    covered: float = Field(description="Share of labels, 0 to 1, within their interval of level 0.9.")


class TrustRecord(_Frozen):
    """What is known of the errors; the numbers behind intervals and domain lie in a file of their own."""

    sha256: str = Field(description="Of the file.")
    size_bytes: int
    n_reference: int = Field(description="Training rows that inputs are compared with.")
    calibrated_on: str = Field(description="Which rows set the width of intervals, and what is assumed.")
    n_calibration: int
    highest_level: float = Field(description="No interval can be given beyond: too few rows.")
    measured_on: str = Field(description="How the coverage was measured.")
    coverage: Coverage | None
    coverage_new_formulas: Coverage | None = Field(
        default=None, description="On rows whose formula is in no training row, where the split does not ensure it."
    )
    families: list[FamilyErrors]
    mae_by_score: list[float] = Field(
        description="MAE of four equal parts of the test rows, by the score of the domain, the lowest first."
    )
    mae_inside: float | None = Field(description="MAE of the test rows that count as like the training data.")
    mae_outside: float | None = Field(description="MAE of those that do not.")
    rank_correlation: float | None = Field(description="Spearman's, of score and absolute error, on the test rows.")
    rank_correlation_expected: float | None = Field(
        description="The same of the expected error, which sets the width of an interval."
    )
    flagged: float = Field(description="Share of the test rows, 0 to 1, that count as unlike the training data.")
    flagged_left_out_elements: float | None = Field(
        description="The same of training rows compared only with rows that lack one of their elements."
    )
    command: str | None = Field(default=None, description="Repeats it, where it was done after the training.")


class Manifest(_Frozen):
    """One trained model, without its weights."""

    format_version: Literal[1] = 1
    name: str
    architecture: Architecture
    input_kind: InputKind
    property: PropertyRecord
    network: dict[str, Any] = Field(description="Constructor arguments of the network.")
    graph: dict[str, Any] | None = Field(default=None, description="Graph settings: cutoff Å, neighbours, ties.")
    scaling: TargetScaling
    elements: list[str] = Field(description="Elements present in the training rows; none: not recorded.")
    metrics: Metrics
    training: TrainingRecord
    parent: Parent | None = None
    trust: TrustRecord | None = Field(default=None, description="None: no intervals, and no domain but its elements.")
    description: str = ""
    scope: str = Field(default="", description="On which materials the model may be used, when not on all.")
    only_when_named: bool = Field(
        default=False,
        description="Answers only requests that name the model: a source for transfer, beside a better model of the "
        "same property.",
    )
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    weights_sha256: str = ""
    weights_bytes: int = 0
