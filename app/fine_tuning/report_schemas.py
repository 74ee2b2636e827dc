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

    name: str = Field(examples=["my-moduli"], description="Name of the model.")
    version: int = Field(description="Predict with it as `NAME/VERSION`.", examples=[1])
    sha256: str = Field(
        description="Of its weights.", examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    size_bytes: int = Field(description="Of its weights, bytes.", examples=[431544])
    aliases: list[str] = Field(
        description="Of this version now; the `champion` answers where no version is named.", examples=[["champion"]]
    )


class ReportProperty(BaseModel):
    """What it predicts."""

    key: str = Field(examples=["k_vrh"], description="Key of the property.")
    label: str = Field(examples=["bulk modulus"], description="Name for people.")
    unit: str = Field(description="Of labels, predictions and every `mae`.", examples=["GPa"])
    definition: str = Field(
        description="What exactly it is: method, per what.",
        examples=["Voigt-Reuss-Hill average bulk modulus, DFT (PBE)."],
    )
    transform: Transform = Field(description="Scale on which it is learned, and of every `mae_transformed`.")


class ReportSplit(BaseModel):
    """Which rows did what."""

    rule: str = Field(description="How rows were split.", examples=["formula, train 0.667 / val 0.167 / test rest"])
    n_train: int = Field(description="Rows that train.", examples=[240])
    n_val: int = Field(
        description="Rows that choose the epoch; 0 where folds do, and these rows train too.", examples=[60]
    )
    n_test: int = Field(description="Rows that nothing was chosen or fitted by.", examples=[60])
    left_out: list[str] = Field(
        description="Which rows could not be used, and how many.",
        examples=[["2 rows: an element that is not supported"]],
    )


class TournamentEntrant(BaseModel):
    """One way to learn the data, and how it fared on rows that it had not seen."""

    name: str = Field(examples=[_ENTRANT], description="What it is made of.")
    mae: float = Field(
        description="Mean absolute error of the rows of all folds, in the property's unit.", examples=[8.2]
    )
    mae_transformed: float = Field(
        description="The same on the scale of the transform, by which entrants are ranked.", examples=[0.052]
    )
    fold_mae: list[float] = Field(
        description="Mean absolute error in each fold, in the property's unit.", examples=[[7.1, 7.9, 7.2]]
    )
    p_against_winner: float = Field(
        description="p of the hypothesis that it is as good as the winner: Wilcoxon's signed-rank test, each formula "
        "counted once.",
        examples=[0.03],
    )
    p_against_winner_folds: float = Field(
        description="The same by the corrected resampled t-test over folds (Nadeau & Bengio 2003).", examples=[0.09]
    )
    weight: float = Field(description="Its share of the model's answer, 0 to 1.", examples=[0.4])
    seconds: float = Field(description="Time it took, s.", examples=[21.5])


class TournamentMember(BaseModel):
    name: str = Field(examples=[_ENTRANT], description="Name of the entrant.")
    weight: float = Field(description="Share of the answer, 0 to 1.", examples=[0.4])


class TournamentWinner(BaseModel):
    """What became the model: one entrant, or a combination of several."""

    name: str = Field(examples=["combination"], description="An entrant, or `combination`.")
    mae: float = Field(
        description="As of an entrant, in the property's unit; of a combination, whose weights the other folds chose.",
        examples=[7.4],
    )
    mae_transformed: float = Field(description="The same on the scale of the transform.", examples=[0.052])
    fold_mae: list[float] = Field(
        description="Mean absolute error in each fold, in the property's unit.", examples=[[7.1, 7.9, 7.2]]
    )
    members: list[TournamentMember] = Field(description="The largest share first.")


class TournamentComparison(BaseModel):
    """The winner against something simple, on the same rows."""

    baseline: str = Field(description="What it is held against.", examples=["random forest, Magpie"])
    gain: float = Field(
        description="Share of the baseline's error that the winner saves; negative: it is worse.", examples=[0.18]
    )
    p_rows: float = Field(description="p of no difference, over formulas (Wilcoxon).", examples=[0.0004])
    p_folds: float = Field(description="p of no difference, over folds (Nadeau & Bengio 2003).", examples=[0.008])


class LeftOut(BaseModel):
    """An entrant that did not play all folds."""

    name: str = Field(description="Name of the entrant.", examples=["SOAP, kernel ridge"])
    why: str = Field(examples=["far behind in the first fold"], description="Why it left.")


class LearningCurvePoint(BaseModel):
    """The best regressor with a part of the data."""

    n_train: int = Field(description="Rows that trained.", examples=[240])
    mae: float = Field(
        description="Mean absolute error of rows it had not seen, in the property's unit.", examples=[9.1]
    )
    mae_transformed: float = Field(description="The same on the scale of the transform.", examples=[0.052])


class TournamentReport(BaseModel):
    """How the method was chosen: all errors are of training rows, each by a model that had not seen its formula."""

    n_rows: int = Field(description="Rows that competed; the test rows are not among them.", examples=[300])
    n_folds: int = Field(description="Folds of the cross-validation.", examples=[5])
    winner: TournamentWinner = Field(description="What became the model.")
    entrants: list[TournamentEntrant] = Field(description="Those that played all folds, the best first.")
    left_out: list[LeftOut] = Field(description="Entrants that did not play all folds.")
    against_baseline: TournamentComparison = Field(description="The best of what anybody would try first.")
    against_median: TournamentComparison | None = Field(
        default=None, description="The same answer for all rows: the median of the rows that train."
    )
    against_known: TournamentComparison | None = Field(
        default=None, description="The best of the pretrained models that predict this property already, as it is."
    )
    is_better_than_baseline: bool = Field(
        description="Whether the winner is shown to be better than all of these. If not, the version is not promoted.",
        examples=[True],
    )
    reason: str = Field(
        description="The reason of the choice in words.", examples=["The combination has the smallest error."]
    )
    sources: list[str] = Field(
        description="Pretrained models that took part: name and begin of the weights' sha256.",
        examples=[["cgcnn-formation-energy/2 4bf58236"]],
    )
    learning_curve: list[LearningCurvePoint] = Field(description="Empty where there was no time.")
    seconds: float = Field(description="Time the whole tournament took, s.", examples=[840.0])


class FineTuningReport(BaseModel):
    """A succeeded job: what was trained on what, how good it is, and of method `auto` the tournament."""

    model_config = ConfigDict(protected_namespaces=())

    job_id: str = Field(examples=["job_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"], description="The job that it reports on.")
    finished_at: datetime | None = Field(
        description="When it ended, UTC; null = it has not.", examples=["2026-11-21T16:40:12Z"]
    )
    outcome: str = Field(description="What became of the model.", examples=["The model is ready."])
    model: ReportModel = Field(description="The version that the job made.")
    property: ReportProperty = Field(description="What it predicts.")
    dataset_id: str = Field(description="The data set.", examples=["ds_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"])
    dataset_name: str = Field(description="Name of the data set.", examples=["bulk moduli of oxides"])
    method: Method = Field(description="How it is trained.")
    architecture: Architecture = Field(description="Kind of network or regressor.")
    base_model: Parent | None = Field(description="The version it started from.")
    hyperparameters: Hyperparameters = Field(description="As used.")
    seed: int = Field(description="Of the split and the starting weights.", examples=[0])
    split: ReportSplit = Field(description="Which rows did what.")
    metrics: Metrics = Field(description="Errors in the property's unit; those of `test` tell how good the model is.")
    epochs: int = Field(description="Epochs trained; 0 where there are none.", examples=[100])
    wall_s: float | None = Field(description="Time the training took, s.", examples=[184.0])
    tournament: TournamentReport | None = Field(description="null unless the method is `auto`.")
    test_rows: list[HeldOutRow] = Field(
        description=f"Test rows beside the model's answers, by label, at most {MAX_HELD_OUT:,}; empty where they were "
        "not kept."
    )
