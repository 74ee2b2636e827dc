"""The manifest: all that a weights file needs to answer in physical units, as versioned JSON.

The only type that `app.learning` and `app.registry` share.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.properties.catalogue import DENOISING, PropertySpec, TaskType, Transform

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

    key: str = Field(description="Key of the property.", examples=["band_gap"])
    label: str = Field(description="Name for people.", examples=["band gap"])
    unit: str = Field(description="Unit of labels and predictions; `1` for a plain number.", examples=["eV"])
    definition: str = Field(
        description="What exactly it is: method, per what.", examples=["Kohn-Sham band gap, DFT (PBE), 0 K."]
    )
    transform: Transform = Field(description="Scale on which it is learned.")

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

    n: int = Field(description="Rows.", examples=[60])
    mae: float = Field(description="Mean absolute error, in the property's unit.", examples=[7.4])
    rmse: float = Field(description="Root mean squared error, in the property's unit.", examples=[11.8])
    r2: float | None = Field(
        default=None, description="Coefficient of determination; null: the labels do not vary.", examples=[0.95]
    )
    max_error: float = Field(description="Largest absolute error, in the property's unit.", examples=[48.0])
    mad: float = Field(
        description="Mean absolute deviation of the labels: the error of answering the mean.", examples=[57.1]
    )
    mae_transformed: float | None = Field(
        default=None, description="MAE of the transformed label, e.g. log10(GPa).", examples=[0.052]
    )
    mae_total: float | None = Field(
        default=None, description="Of energies per atom: MAE of the whole cell's, in eV.", examples=[None]
    )
    within_chemical_accuracy: float | None = Field(
        default=None,
        description="Share of cells, 0 to 1, whose energy is off by 1 kcal/mol (0.043 eV) at most.",
        examples=[0.31],
    )


class Metrics(_Frozen):
    train: SplitMetrics | None = Field(default=None, description="Rows that trained; null: not measured.")
    val: SplitMetrics | None = Field(
        default=None,
        description="Rows that watched the training; they chose its epoch unless the last was kept. Null: none.",
    )
    test: SplitMetrics | None = Field(
        default=None, description="Rows that nothing was chosen or fitted by; null: there were none."
    )


class Parent(_Frozen):
    """The model version whose weights this one started from."""

    name: str = Field(description="Name of the model.", examples=["cgcnn-formation-energy"])
    version: int = Field(description="Its version.", examples=[1])
    weights_sha256: str = Field(
        description="SHA-256 of its weights.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class PretextRecord(_Frozen):
    """What the representation learned before any label: noise added to the lengths of bonds, and hidden elements."""

    spread: float = Field(description="Standard deviation of the noise, Å.", examples=[0.2])
    hidden_share: float = Field(description="Of the atoms, whose element was not told.", examples=[0.15])
    n_train: int = Field(description="Structures that trained.", examples=[58061])
    hyperparameters: dict[str, Any] = Field(description="As used.", examples=[{"max_epochs": 20}])
    epochs: int = Field(description="Epochs trained.", examples=[20])
    noise_missed: float = Field(
        description="Mean absolute error of the noise, in units of its spread, on structures that watched the "
        "training; 0.80 is that of knowing nothing.",
        examples=[0.35],
    )
    elements_found: float = Field(
        description="Share of the hidden elements, 0 to 1, that it names in these structures.", examples=[0.5]
    )
    wall_s: float = Field(description="Time it took, s.", examples=[1800.0])


class TrainingRecord(_Frozen):
    """How the weights came to be, enough to repeat it."""

    method: str = Field(description="How it was trained.", examples=["fine_tune"])
    dataset: str = Field(description="Name of the data set.", examples=["bulk moduli of oxides"])
    dataset_sha256: str | None = Field(
        default=None,
        description="SHA-256 of the rows; null: not recorded.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    licence: str | None = Field(
        default=None, description="Licence of the data; null: not known.", examples=["CC BY 4.0"]
    )
    split: str = Field(
        description="How rows were split, with seed.", examples=["formula, train 0.667 / val 0.167 / test rest, seed 0"]
    )
    n_train: int = Field(description="0: not recorded.", examples=[240])
    n_val: int = Field(
        description="Rows that watch the training, and choose its epoch unless the last is kept.", examples=[60]
    )
    n_test: int = Field(description="Rows that nothing was chosen or fitted by.", examples=[60])
    seed: int | None = Field(description="None: not recorded.", examples=[0])
    hyperparameters: dict[str, Any] = Field(
        description="As used.", examples=[{"max_epochs": 100, "learning_rate": 0.002}]
    )
    best_epoch: int = Field(
        description="The epoch whose weights were kept, from 1; 0 where there are none.", examples=[83]
    )
    epochs: int = Field(description="Epochs trained; 0 where there are none.", examples=[100])
    filters: list[str] = Field(
        default_factory=list,
        description="Which rows were left out, by which rule, how many.",
        examples=[["12 rows: more than 200 sites"]],
    )
    command: str | None = Field(
        default=None,
        description="Repeats it; null: there is none.",
        examples=["xtalforge pretrain cgcnn-formation-energy"],
    )
    wall_s: float | None = Field(default=None, description="Time it took, s; null: not recorded.", examples=[184.0])
    device: str = Field(default="cpu", description="What it ran on.")
    software: dict[str, str] = Field(
        default_factory=dict, description="Versions of the packages that it ran with.", examples=[{"torch": "2.13.0"}]
    )
    search: dict[str, Any] | None = Field(
        default=None,
        description="What a search chose, and its validation errors on the learned scale.",
        examples=[None],
    )
    pretext: PretextRecord | None = Field(
        default=None, description="What it learned before any label; null: nothing.", examples=[None]
    )


class Coverage(_Frozen):
    """Intervals of level 0.9 on rows that did not set their width."""

    n: int = Field(description="Test rows that it was measured on.", examples=[1500])
    share: float = Field(description="Of the labels, 0 to 1, within their interval.", examples=[0.898])
    mean_width: float = Field(description="In the property's unit.", examples=[0.11])


class FamilyErrors(_Frozen):
    """Errors on the test rows of one family of compounds."""

    family: str = Field(description="Compounds that share an anion.", examples=["oxides"])
    n: int = Field(description="Test rows of the family.", examples=[2100])
    mae: float = Field(description="Mean absolute error, in the property's unit.", examples=[0.024])
    covered: float = Field(description="Share of labels, 0 to 1, within their interval of level 0.9.", examples=[0.9])


class TrustRecord(_Frozen):
    """What is known of the errors; the numbers behind intervals and domain lie in a file of their own."""

    sha256: str = Field(
        description="Of the file.", examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    size_bytes: int = Field(description="Size of the file, bytes.", examples=[712000])
    n_reference: int = Field(description="Training rows that inputs are compared with.", examples=[2000])
    calibrated_on: str = Field(
        description="Which rows set the width of intervals, and what is assumed.",
        examples=["test rows, each formula weighs the same"],
    )
    n_calibration: int = Field(description="Rows that set the width of intervals.", examples=[3400])
    highest_level: float = Field(description="No interval can be given beyond: too few rows.", examples=[0.999])
    measured_on: str = Field(
        description="How the coverage was measured.", examples=["half of the test rows, which set no width"]
    )
    coverage: Coverage | None = Field(description="Of intervals of level 0.9; null: not measured.")
    coverage_new_formulas: Coverage | None = Field(
        default=None, description="On rows whose formula is in no training row, where the split does not ensure it."
    )
    families: list[FamilyErrors] = Field(description="Errors by family of compounds.")
    mae_by_score: list[float] = Field(
        description="MAE of four equal parts of the test rows, by the score of the domain, the lowest first.",
        examples=[[0.018, 0.021, 0.025, 0.034]],
    )
    mae_inside: float | None = Field(
        description="MAE of the test rows that count as like the training data.", examples=[0.0235]
    )
    mae_outside: float | None = Field(description="MAE of those that do not.", examples=[0.0544])
    rank_correlation: float | None = Field(
        description="Spearman's, of score and absolute error, on the test rows.", examples=[0.2]
    )
    rank_correlation_expected: float | None = Field(
        description="The same of the expected error, which sets the width of an interval.", examples=[0.22]
    )
    flagged: float = Field(
        description="Share of the test rows, 0 to 1, that count as unlike the training data.", examples=[0.02]
    )
    flagged_left_out_elements: float | None = Field(
        description="The same of training rows compared only with rows that lack one of their elements.",
        examples=[0.22],
    )
    command: str | None = Field(
        default=None,
        description="Repeats it, where it was done after the training.",
        examples=["xtalforge calibrate cgcnn-formation-energy/1"],
    )


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


def what_it_learned(manifest: Manifest) -> str:
    """What the representation comes from: the key of the property, or DENOISING."""
    return manifest.property.key if manifest.training.pretext is None else DENOISING
