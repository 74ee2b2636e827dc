"""What a finished fine-tuning job tells of itself."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from app.fine_tuning.held_out import MAX_HELD_OUT, HeldOutRow
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.properties.catalogue import Transform
from app.registry.manifest import Architecture, Metrics, Parent

_ENTRANT = "SVR, bonding descriptors"


class ReportFormat(StrEnum):
    JSON = "json"
    HTML = "html"


class ReportModel(BaseModel):
    """The version that the job made."""

    name: str = Field(examples=["my-moduli"])
    version: int = Field(description="Predict with it as `NAME/VERSION`.", examples=[1])
    sha256: str = Field(description="Of its weights.")
    size_bytes: int = Field(description="Of its weights, bytes.")
    aliases: list[str] = Field(description="Of this version now; the `champion` answers where no version is named.")


class ReportProperty(BaseModel):
    """What it predicts."""

    key: str = Field(examples=["k_vrh"])
    label: str = Field(examples=["bulk modulus"])
    unit: str = Field(description="Of labels, predictions and every `mae`.", examples=["GPa"])
    definition: str
    transform: Transform = Field(description="Scale on which it is learned, and of every `mae_transformed`.")


class ReportSplit(BaseModel):
    """Which rows did what."""

    rule: str = Field(description="How rows were split.", examples=["formula, train 0.667 / val 0.167 / test rest"])
    n_train: int = Field(description="Rows that train.")
    n_val: int = Field(description="Rows that choose the epoch; 0 where folds do, and these rows train too.")
    n_test: int = Field(description="Rows that nothing was chosen or fitted by.")
    left_out: list[str] = Field(description="Which rows could not be used, and how many.")


class TournamentEntrant(BaseModel):
    """One way to learn the data, and how it fared on rows that it had not seen."""

    name: str = Field(examples=[_ENTRANT])
    mae: float = Field(description="Mean absolute error of the rows of all folds, in the property's unit.")
    mae_transformed: float = Field(description="The same on the scale of the transform, by which entrants are ranked.")
    fold_mae: list[float] = Field(description="Mean absolute error in each fold, in the property's unit.")
    p_against_winner: float = Field(
        description="p of the hypothesis that it is as good as the winner: Wilcoxon's signed-rank test, each formula "
        "counted once."
    )
    p_against_winner_folds: float = Field(
        description="The same by the corrected resampled t-test over folds (Nadeau & Bengio 2003)."
    )
    weight: float = Field(description="Its share of the model's answer, 0 to 1.")
    seconds: float = Field(description="Time it took, s.")


class TournamentMember(BaseModel):
    name: str = Field(examples=[_ENTRANT])
    weight: float = Field(description="Share of the answer, 0 to 1.")


class TournamentWinner(BaseModel):
    """What became the model: one entrant, or a combination of several."""

    name: str = Field(examples=["combination"])
    mae: float = Field(
        description="As of an entrant, in the property's unit; of a combination, whose weights the other folds chose."
    )
    mae_transformed: float = Field(description="The same on the scale of the transform.")
    fold_mae: list[float] = Field(description="Mean absolute error in each fold, in the property's unit.")
    members: list[TournamentMember] = Field(description="The largest share first.")


class TournamentComparison(BaseModel):
    """The winner against something simple, on the same rows."""

    baseline: str = Field(description="What it is held against.", examples=["random forest, Magpie"])
    gain: float = Field(description="Share of the baseline's error that the winner saves; negative: it is worse.")
    p_rows: float = Field(description="p of no difference, over formulas (Wilcoxon).")
    p_folds: float = Field(description="p of no difference, over folds (Nadeau & Bengio 2003).")


class LeftOut(BaseModel):
    """An entrant that did not play all folds."""

    name: str
    why: str = Field(examples=["far behind in the first fold"])


class LearningCurvePoint(BaseModel):
    """The best regressor with a part of the data."""

    n_train: int = Field(description="Rows that trained.")
    mae: float = Field(description="Mean absolute error of rows it had not seen, in the property's unit.")
    mae_transformed: float = Field(description="The same on the scale of the transform.")


class TournamentReport(BaseModel):
    """How the method was chosen: all errors are of training rows, each by a model that had not seen its formula."""

    n_rows: int = Field(description="Rows that competed; the test rows are not among them.")
    n_folds: int
    winner: TournamentWinner
    entrants: list[TournamentEntrant] = Field(description="Those that played all folds, the best first.")
    left_out: list[LeftOut]
    against_baseline: TournamentComparison = Field(description="The best of what anybody would try first.")
    against_median: TournamentComparison | None = Field(
        default=None, description="The same answer for all rows: the median of the rows that train."
    )
    against_known: TournamentComparison | None = Field(
        default=None, description="The best of the pretrained models that predict this property already, as it is."
    )
    is_better_than_baseline: bool = Field(
        description="Whether the winner is shown to be better than all of these. If not, the version is not promoted."
    )
    reason: str = Field(description="The reason of the choice in words.")
    sources: list[str] = Field(description="Pretrained models that took part: name and begin of the weights' sha256.")
    learning_curve: list[LearningCurvePoint] = Field(description="Empty where there was no time.")
    seconds: float = Field(description="Time the whole tournament took, s.")


class FineTuningReport(BaseModel):
    """A succeeded job: what was trained on what, how good it is, and of method `auto` the tournament."""

    model_config = ConfigDict(protected_namespaces=())

    job_id: str = Field(examples=["job_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"])
    finished_at: datetime | None
    outcome: str = Field(description="What became of the model.", examples=["The model is ready."])
    model: ReportModel
    property: ReportProperty
    dataset_id: str
    dataset_name: str
    method: Method
    architecture: Architecture
    base_model: Parent | None = Field(description="The version it started from.")
    hyperparameters: Hyperparameters
    seed: int
    split: ReportSplit
    metrics: Metrics = Field(description="Errors in the property's unit; those of `test` tell how good the model is.")
    epochs: int = Field(description="Epochs trained; 0 where there are none.")
    wall_s: float | None = Field(description="Time the training took, s.")
    tournament: TournamentReport | None = Field(description="null unless the method is `auto`.")
    test_rows: list[HeldOutRow] = Field(
        description=f"Test rows beside the model's answers, by label, at most {MAX_HELD_OUT:,}; empty where they were "
        "not kept."
    )
