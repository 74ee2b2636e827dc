"""Models of the OpenAPI document, written by app/client/generate.py."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel


class AliasChangeRead(BaseModel):
    """
    One move of an alias.
    """

    kind: str
    """
    `set`, `rollback` or `delete`.
    """
    from_version: int | None
    """
    null = the alias did not exist.
    """
    to_version: int | None
    """
    null = the alias was removed.
    """
    reason: str
    """
    As given with the move.
    """
    changed_at: AwareDatetime
    """
    When it was moved, UTC.
    """


class AliasHistory(BaseModel):
    """
    Every move, newest first.
    """

    items: list[AliasChangeRead]
    """
    Newest first.
    """


class AliasRead(BaseModel):
    """
    A movable pointer. The ETag header holds its revision.
    """

    name: str
    """
    Name of the model.
    """
    alias: str
    """
    Name of the alias.
    """
    version: int
    """
    The version that it points at.
    """
    revision: int
    """
    Changes with every move.
    """
    updated_at: AwareDatetime
    """
    When it was last moved, UTC.
    """


class AliasRollback(BaseModel):
    """
    Why an alias goes back.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    reason: str = ""
    """
    Kept in the history.
    """


class AliasUpdate(BaseModel):
    """
    Where an alias is to point.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    version: int
    """
    A version of the model.
    """
    reason: str = ""
    """
    Kept in the history.
    """


class AtomRead(BaseModel):
    """
    Atoms with the same surroundings, by symmetry or by chance.
    """

    element: str
    """
    Symbol of the element.
    """
    share: float
    """
    Of the atoms of the cell, 0 to 1.
    """
    contribution: float
    """
    In the property's unit. The mean over the atoms (of models of whole cells, the sum) is the value.
    """


class BaseModelRead(BaseModel):
    """
    The pinned model version that a job starts from.
    """

    name: str
    """
    Name of the model.
    """
    version: int
    """
    Counts from 1 within the model.
    """
    sha256: str
    """
    Of its weights.
    """


class Body(RootModel[AliasRollback | None]):
    root: AliasRollback | None


class BulkModelRead(BaseModel):
    """
    A model version that answers, as it was when the job was made.
    """

    name: str
    """
    Name of the model.
    """
    version: int
    """
    Counts from 1 within the model.
    """
    sha256: str
    """
    Of its weights.
    """
    property: str
    """
    Key of the property that it predicts.
    """
    unit: str
    """
    Unit of its values.
    """


class BulkProgress(BaseModel):
    """
    How far it is. Results are kept in parts of up to 1,000 inputs, and so is this counted.
    """

    done: int
    """
    Inputs whose results are kept.
    """
    failed: int
    """
    Those among them without any value; the results say why.
    """
    total: int | None
    """
    Inputs of the file; null until they are counted.
    """
    rate_per_s: float | None
    """
    Inputs a second lately; null while that is not known.
    """
    eta_s: float | None
    """
    Seconds that are left at this rate.
    """


class CellRead(BaseModel):
    """
    The unit cell.
    """

    vectors: list[list[float]]
    """
    a, b and c, Cartesian, Å.
    """
    a: float
    """
    Length, Å.
    """
    b: float
    """
    Length, Å.
    """
    c: float
    """
    Length, Å.
    """
    alpha: float
    """
    Angle of b and c, degrees.
    """
    beta: float
    """
    Angle of a and c, degrees.
    """
    gamma: float
    """
    Angle of a and b, degrees.
    """
    volume: float
    """
    Å³.
    """


class Constraint(BaseModel):
    """
    Bounds on a property, in its unit (`GET /v1/properties`).
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    property: str
    """
    Key of the property.
    """
    at_least: float | None = None
    """
    In the unit of the property.
    """
    at_most: float | None = None
    """
    In the unit of the property.
    """


class Coverage(BaseModel):
    """
    Intervals of level 0.9 on rows that did not set their width.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    n: int
    """
    Test rows that it was measured on.
    """
    share: float
    """
    Of the labels, 0 to 1, within their interval.
    """
    mean_width: float
    """
    In the property's unit.
    """


class Domain(BaseModel):
    """
    Whether the input is like what the model was trained on.
    """

    in_domain: bool
    """
    false: the value may be far off, and its interval too narrow.
    """
    score: float | None
    """
    Distance from the training data, in the model's representation and in composition, beside that of its nearest rows from each other; 1 at the limit. null where it is not measured.
    """
    reason: str
    """
    Why.
    """


class DuplicateRow(BaseModel):
    """
    A row that repeats an earlier one, input and label; it was left out.
    """

    row_id: str
    """
    `id` of the row, or its place in the file, from 1.
    """
    first_row_id: str
    """
    The row that was kept.
    """


class ElementFilter(BaseModel):
    """
    Which compositions are looked at. All conditions that are given must be met.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    all_of: list[str] = []
    """
    Each of these must be there.
    """
    any_of: list[str] = []
    """
    At least one of these must be there.
    """
    none_of: list[str] = []
    """
    None of these may be.
    """
    only: list[str] = []
    """
    Nothing but these may be there.
    """
    at_least: int | None = None
    """
    Fewest different elements.
    """
    at_most: int | None = None
    """
    Most different elements.
    """


class Embedding(BaseModel):
    """
    The features of one input.
    """

    input_id: str
    """
    `id` of the input, or its place, from 0.
    """
    vector: list[float]
    """
    Of length `dimension`.
    """
    atoms: list[AtomRead] | None
    """
    null: not asked for.
    """


class FamilyErrors(BaseModel):
    """
    Errors on the test rows of one family of compounds.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    family: str
    """
    Compounds that share an anion.
    """
    n: int
    """
    Test rows of the family.
    """
    mae: float
    """
    Mean absolute error, in the property's unit.
    """
    covered: float
    """
    Share of labels, 0 to 1, within their interval of level 0.9.
    """


class Health(BaseModel):
    status: str
    """
    `ok`, or what is wrong.
    """
    checks: dict[str, str] = {}
    """
    State of each part.
    """


class HeldOutRow(BaseModel):
    """
    One row of the test split.
    """

    formula: str
    """
    Reduced, in alphabetical order.
    """
    label: float
    """
    As uploaded, in the property's unit.
    """
    prediction: float
    """
    In the property's unit.
    """


class Hyperparameters(BaseModel):
    """
    Of one training run. What is left out is chosen; the job echoes what was chosen.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    preset: Literal["default", "paper"] | None = None
    """
    `paper`: the settings of the paper the method is from. `default`: better ones.
    """
    network: Literal["cgcnn", "cgcnn-plain", "schnet-1", "schnet-2", "elemnet-17"] | None = None
    """
    Which network `scratch` trains; that of the data's own kind when left out.
    """
    features: Literal["elemental_fractions", "physical_attributes", "magpie", "bonding"] | None = None
    """
    Of an ElemNet trained from scratch: `elemental_fractions` or `physical_attributes`. Of baselines: `magpie`, of the composition, or `bonding`, these and what the structure says of its bonds.
    """
    target: Literal["per_atom", "total"] | None = None
    """
    For SchNet and properties per atom. `total`: the error of the whole cell is learned from; labels and predictions stay per atom.
    """
    layer: int | Literal["auto"] | None = None
    """
    Hidden layer of the source whose activations are the features, counted from 1. `auto`: layers 1 to 4 are tried, in short trainings where the schedule allows; validation decides.
    """
    max_epochs: int | None = None
    """
    Passes over the training rows.
    """
    patience: int | None = None
    """
    Stop after so many epochs without a better one.
    """
    batch_size: int | None = None
    """
    Rows per step.
    """
    learning_rate: float | None = None
    """
    The highest one of the schedule.
    """
    weight_decay: float | None = None
    """
    L2 penalty of the weights.
    """
    optimizer: Literal["adamw", "adam", "sgd"] | None = None
    """
    `adam` adds the L2 penalty to the loss, `adamw` takes it off the weights.
    """
    schedule: Literal["one_cycle", "step", "plateau", "constant"] | None = None
    """
    Of the learning rate. `plateau`: it falls when the training loss does not.
    """
    rate_decay: float | None = None
    """
    With schedule `step`: what the learning rate is multiplied by at epoch 100.
    """
    loss: Literal["mae", "mse", "huber"] | None = None
    """
    Loss that is minimised, of the scaled labels.
    """
    scaling: Literal["none", "standard", "tanh"] | None = None
    """
    `tanh`: eq. 6 of the paper.
    """
    ema_decay: float | None = None
    """
    Decay per step of the averaged weights that are kept; 0 = none.
    """
    kept_weights: Literal["best", "last"] | None = None
    """
    `best`: those of the epoch with the lowest validation error. `last`: those of the last epoch, where the training comes to the end of `max_epochs` and no epoch had a validation error lower by more than 15 %; else the best ones.
    """
    gradient_clip: float | None = None
    """
    Largest gradient norm; 0 = unbounded.
    """
    split: Literal["formula", "formula_hash", "random"] | None = None
    """
    `formula`: no formula stands in two of train, validation and test.
    """
    train_fraction: float | None = None
    """
    Share of rows that train.
    """
    val_fraction: float | None = None
    """
    Share that stops the training.
    """
    frozen_convolutions: int | None = None
    """
    For `freeze_early`.
    """
    hidden_dim: int | None = None
    """
    Width of the fully connected layer.
    """
    members: int | None = None
    """
    Networks whose mean is the model, each trained without another one of so many parts of the training and validation rows; 1 is one network. From 5 on each has as many rows as one network alone, and together they err less. They take as many times as long, and make a model as many times as large, which no other can start from.
    """
    precision: Literal["float32", "bfloat16"] | None = None
    """
    Numbers that networks compute with.
    """
    n_folds: int | None = None
    """
    Of the cross-validation of a baseline.
    """
    n_trials: int | None = None
    """
    Models that a model search compares.
    """
    max_seconds: float | None = None
    """
    Stop training (not the job) after so long.
    """


class Interval(BaseModel):
    """
    A prediction interval, in the value's unit, for materials like those the model was tested on.
    """

    level: float
    """
    Share of true values it is made to hold, e.g. 0.9.
    """
    lower: float
    """
    Lower end.
    """
    upper: float
    """
    Upper end.
    """


class JobErrorRead(BaseModel):
    """
    Why a job failed.
    """

    code: str
    """
    Stable, e.g. `training_diverged`, `out_of_memory`, `worker_lost`.
    """
    detail: str
    """
    The reason in words.
    """


class JobEventRead(BaseModel):
    """
    Something that happened in a job; `seq` counts from 1 without gaps.
    """

    seq: int
    """
    Counts from 1 within the job, without gaps.
    """
    level: Literal["info", "warning", "error"]
    """
    How much it matters.
    """
    kind: str
    """
    `status` or `message`; `epoch` of trainings, `progress` of bulk predictions.
    """
    message: str
    """
    What happened, in words.
    """
    data: dict[str, Any]
    """
    The same for programs, e.g. the errors of an epoch.
    """
    created_at: AwareDatetime
    """
    When it happened, UTC.
    """


class JobProgress(BaseModel):
    """
    The last finished epoch.
    """

    epoch: int
    """
    Counts from 1.
    """
    max_epochs: int
    """
    Most epochs; training may stop earlier.
    """
    val_mae: float
    """
    Mean absolute error on the validation rows, in `unit`.
    """
    best_val_mae: float
    """
    The best epoch's, in `unit`.
    """
    unit: str
    """
    Unit of the errors.
    """
    eta_s: float
    """
    Seconds to the last epoch at the present pace; early stopping may end it sooner.
    """
    stage: str = ""
    """
    Which of several trainings, whose epochs are counted on.
    """


class JobSearch(BaseModel):
    """
    Where the search for a baseline's hyperparameters stood when it was last told; about once a second.
    """

    done: int
    """
    Fits that are done.
    """
    total: int
    """
    Fits or models in all; a search may end sooner.
    """
    text: str
    """
    What is fitted.
    """


class LabelConflict(BaseModel):
    """
    Rows of the same input with different labels; all were kept.
    """

    formula: str
    """
    Reduced formula of the input.
    """
    row_ids: list[str]
    """
    `id` of these rows, or their places in the file, from 1.
    """
    values: list[float]
    """
    The labels, in the property's unit.
    """


class LearningCurvePoint(BaseModel):
    """
    The best regressor with a part of the data.
    """

    n_train: int
    """
    Rows that trained.
    """
    mae: float
    """
    Mean absolute error of rows it had not seen, in the property's unit.
    """
    mae_transformed: float
    """
    The same on the scale of the transform.
    """


class LeftOut(BaseModel):
    """
    An entrant that did not play all folds.
    """

    name: str
    """
    Name of the entrant.
    """
    why: str
    """
    Why it left.
    """


class MethodRead(BaseModel):
    """
    One way to train on offer.
    """

    name: Literal[
        "scratch",
        "fine_tune",
        "freeze",
        "freeze_early",
        "tl1",
        "tl2",
        "tl3",
        "rl_relu",
        "rl_dense",
        "tlrl_relu",
        "tlrl_dense",
        "pls",
        "lasso",
        "svr",
        "rf",
        "extra_trees",
        "gradient_boosting",
        "soap_krr",
        "automl_ef",
        "automl_pa",
        "auto",
    ]
    """
    Give it as `method`.
    """
    family: Literal["cgcnn", "schnet", "elemnet", "elemnet_representation", "baseline", "ensemble"]
    """
    Architecture of the model it makes.
    """
    input_kind: Literal["structure", "composition"]
    """
    What the model reads. One that reads compositions answers for structures too when it is named.
    """
    data_kinds: list[Literal["structure", "composition"]]
    """
    What a row of the data set may hold.
    """
    needs_base_model: bool
    """
    Whether it starts from the weights of another model.
    """
    base_family: Literal["cgcnn", "schnet", "elemnet", "elemnet_representation", "baseline", "ensemble"] | None
    """
    Architecture of that model.
    """
    hyperparameters: list[str]
    """
    Those it uses; others are refused.
    """
    source: str
    """
    Paper and section it is from.
    """
    description: str
    """
    What it does.
    """


class ModelReference(BaseModel):
    """
    The exact model that answered.
    """

    name: str
    """
    Name of the model.
    """
    version: int
    """
    Counts from 1 within the model.
    """
    sha256: str
    """
    SHA-256 of the weights.
    """


class NeighbourRead(BaseModel):
    """
    A row that the model was trained on.
    """

    formula: str
    """
    Reduced, in alphabetical order.
    """
    distance: float
    """
    In the model's representation, in spreads of its training data.
    """
    value: float
    """
    Its label, in the unit of the prediction.
    """


class Objective(BaseModel):
    """
    What is best: much or little of a property, or a value near `target`.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    property: str
    """
    Key of the property.
    """
    goal: Literal["maximise", "minimise", "target"]
    """
    `maximise`, `minimise`, or come near to `target`.
    """
    target: float | None = None
    """
    In the unit of the property; with goal `target` only.
    """


class Outlier(BaseModel):
    """
    A label far from the others; it was kept.
    """

    row_id: str
    """
    `id` of the row, or its place in the file, from 1.
    """
    value: float
    """
    In the property's unit.
    """
    robust_z: float
    """
    Distance from the median in robust standard deviations, on the learned scale.
    """


class Parent(BaseModel):
    """
    The model version whose weights this one started from.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    name: str
    """
    Name of the model.
    """
    version: int
    """
    Its version.
    """
    weights_sha256: str
    """
    SHA-256 of its weights.
    """


class ParentRead(BaseModel):
    """
    The version whose weights the training started from.
    """

    name: str
    """
    Name of the model.
    """
    version: int
    """
    Its version.
    """
    sha256: str
    """
    sha256 of its weights.
    """


class PerovskiteFit(BaseModel):
    """
    Which ions fit into a perovskite, by Shannon's radii.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    tolerance: list[Any] = [0.8, 1.1]
    """
    Goldschmidt's tolerance factor t = (r_A + r_X) / (√2 (r_B + r_X)), lowest and highest; near 1 perovskites are not distorted.
    """
    octahedral: list[Any] = [0.37, 0.9]
    """
    Octahedral factor r_B / r_X, lowest and highest; far below 0.41 B is too small for six neighbours.
    """


class Prediction(BaseModel):
    """
    One value of one property of one input, from one model.
    """

    input_id: str
    """
    `id` of the input, or its place, from 0.
    """
    property: str
    """
    Key of the property.
    """
    value: float
    """
    In `unit`.
    """
    unit: str
    """
    Unit of the value; `1` for a plain number.
    """
    definition: str
    """
    What the value is: functional, per what.
    """
    model: ModelReference
    interval: Interval | None
    """
    null: this model carries no calibrated interval, or none of this level, which `notes` then say.
    """
    domain: Domain | None
    """
    null: not measured, and no element is new to the model.
    """
    neighbours: list[NeighbourRead] | None = None
    """
    The nearest training rows, where the request asks for them; null: not known.
    """
    notes: list[str]
    """
    What had to be assumed while the input was read, and on which materials alone the model may be used.
    """


class PredictionError(BaseModel):
    """
    Why an input, or one model for it, gave no value.
    """

    input_id: str
    """
    `id` of the input, or its place, from 0.
    """
    code: str
    """
    Stable code of the reason.
    """
    detail: str
    """
    The reason in words.
    """
    model: ModelReference | None
    """
    The model that failed; null: the input itself cannot be used.
    """


class PredictionInput(BaseModel):
    """
    One crystal or composition; exactly one of `cif`, `poscar`, `structure`, `composition`.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    id: str | None = None
    """
    Your name for it; default: its place, from 0.
    """
    cif: str | None = None
    """
    CIF text. Several data blocks become inputs `ID#block`.
    """
    poscar: str | None = None
    """
    VASP POSCAR text, with element symbols.
    """
    structure: dict[str, Any] | None = None
    """
    A pymatgen `Structure.as_dict()`, ASE JSON or OPTIMADE structure.
    """
    composition: str | None = None
    """
    A formula, e.g. `SrTiO3`, `Ca(OH)2`, `Li0.5CoO2`.
    """


class PredictionRequest(BaseModel):
    """
    What to predict, and with which models. Without `models` and `properties`, every champion that fits answers, but
    for those that answer only when they are named.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    inputs: list[PredictionInput]
    """
    Crystals and compositions, at most 1000 as installed; larger sets go in parts.
    """
    models: list[str] | None = None
    """
    `NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`.
    """
    properties: list[str] | None = None
    """
    Property keys: the champions of these properties answer.
    """
    interval_level: float = 0.9
    """
    Share of true values that intervals are to hold, 0.5 to 0.99.
    """
    neighbours: int = 0
    """
    How many of the nearest training rows to list with each value, up to 20.
    """


class PretextRecord(BaseModel):
    """
    What the representation learned before any label: noise added to the lengths of bonds, and hidden elements.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    spread: float
    """
    Standard deviation of the noise, Å.
    """
    hidden_share: float
    """
    Of the atoms, whose element was not told.
    """
    n_train: int
    """
    Structures that trained.
    """
    hyperparameters: dict[str, Any]
    """
    As used.
    """
    epochs: int
    """
    Epochs trained.
    """
    noise_missed: float
    """
    Mean absolute error of the noise, in units of its spread, on structures that watched the training; 0.80 is that of knowing nothing.
    """
    elements_found: float
    """
    Share of the hidden elements, 0 to 1, that it names in these structures.
    """
    wall_s: float
    """
    Time it took, s.
    """


class Problem(BaseModel):
    """
    RFC 9457 problem details; `code` is stable, `detail` is for people. Some codes carry further members.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: str
    """
    Names the kind of error for good.
    """
    title: str
    """
    The kind of error in words.
    """
    status: int
    """
    The HTTP status.
    """
    detail: str
    """
    What is wrong here, in words.
    """
    code: str
    """
    Stable; for programs.
    """
    instance: str
    """
    Path of the request.
    """
    request_id: str
    """
    The X-Request-ID of this answer; quote it when you report a fault.
    """


class ReportModel(BaseModel):
    """
    The version that the job made.
    """

    name: str
    """
    Name of the model.
    """
    version: int
    """
    Predict with it as `NAME/VERSION`.
    """
    sha256: str
    """
    Of its weights.
    """
    size_bytes: int
    """
    Of its weights, bytes.
    """
    aliases: list[str]
    """
    Of this version now; the `champion` answers where no version is named.
    """


class ReportSplit(BaseModel):
    """
    Which rows did what.
    """

    rule: str
    """
    How rows were split.
    """
    n_train: int
    """
    Rows that train.
    """
    n_val: int
    """
    Rows that choose the epoch; 0 where folds do, and these rows train too.
    """
    n_test: int
    """
    Rows that nothing was chosen or fitted by.
    """
    left_out: list[str]
    """
    Which rows could not be used, and how many.
    """


class RowFailure(BaseModel):
    """
    A row that cannot be used.
    """

    line: int
    """
    Line or row of the file, from 1, where the row begins.
    """
    row_id: str
    """
    The row's `id`, else its line.
    """
    code: str
    """
    Stable code of the reason.
    """
    detail: str
    """
    What is wrong, in words.
    """


class ScreeningCounts(BaseModel):
    """
    What became of the candidates; the counts after `candidates` add up to it.
    """

    candidates: int
    """
    Candidates that were looked at.
    """
    selected: int
    """
    Those that the screening names.
    """
    not_selected: int
    """
    Meet all constraints, but others are better, or alike, where `diverse`.
    """
    failed_constraints: int
    """
    Too unlikely to meet the constraints.
    """
    out_of_domain: int
    """
    Unlike the training data of a model; 0 where `in_domain` is false.
    """
    filtered: int
    """
    Left out by `elements`.
    """
    errors: int
    """
    Without a value for each property; the results say why.
    """


class ScreeningWish(BaseModel):
    """
    What is looked for, whatever the candidates are.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    constraints: list[Constraint] = Field([], validate_default=True)
    """
    What each candidate must meet; one for each property.
    """
    objectives: list[Objective] = Field([], validate_default=True)
    """
    What is best among those that meet the constraints. One ranks by its expected value; two or three rank by Pareto fronts.
    """
    models: list[str] | None = None
    """
    Models to use, `NAME`, `NAME@ALIAS` or `NAME/VERSION`; for a property that none of them predicts, its champion answers.
    """
    properties: list[str] = []
    """
    More properties to predict and report, beside those of constraints and objectives.
    """
    elements: ElementFilter | None = None
    """
    Which compositions are looked at.
    """
    in_domain: bool = True
    """
    Only candidates like the training data of every model that answers: looking for extremes finds those whose values are wrong. false: all, and the results say which are not.
    """
    min_probability: float = 0.5
    """
    Smallest probability of meeting all constraints that a ranked candidate may have.
    """
    joint: Literal["independent", "frechet"] = "independent"
    """
    Probability of meeting several constraints: `independent` multiplies (errors of different properties taken as independent), `frechet` takes the lowest that any dependence allows.
    """
    rank_by: Literal["probability", "objective", "pareto"] | None = None
    """
    `probability` of meeting all constraints; `objective`, its expected value; `pareto`, fronts of two or three objectives. Default: what the objectives allow.
    """
    count: int = 100
    """
    Most candidates to select.
    """
    diverse: bool = False
    """
    true: of the best 10 x `count`, those that differ most in composition (greedy k-centre, the best one first).
    """
    interval_level: float = 0.9
    """
    Share of true values that intervals are to hold, 0.5 to 0.99.
    """


class ServingModel(BaseModel):
    """
    A champion that predicts the property.
    """

    name: str
    """
    Name of the model.
    """
    version: int
    """
    Counts from 1 within the model.
    """
    input_kind: Literal["structure", "composition"]
    """
    What it predicts from.
    """
    only_when_named: bool
    """
    Answers only requests that name it in `models`.
    """
    test_mae: float | None
    """
    Mean absolute error on held-out rows, in the property's unit.
    """


class SimilarRows(BaseModel):
    """
    Rows of one formula, with different structures but the same label: perhaps one material twice. They were kept.
    """

    formula: str
    """
    Reduced formula that they share.
    """
    row_ids: list[str]
    """
    `id` of these rows, or their places in the file, from 1.
    """


class SiteRead(BaseModel):
    """
    An atom of the cell, after all symmetry was applied.
    """

    element: str
    """
    Symbol of the element.
    """
    position: list[float]
    """
    In fractions of a, b and c, 0 to 1.
    """


class SolidSolutionGenerator(BaseModel):
    """
    Compositions between end members, for models that read compositions.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    kind: Literal["solid_solution"]
    """
    Which kind of generator this is.
    """
    ends: list[str]
    """
    Formulas of the end members.
    """
    steps: int = 20
    """
    Amounts of the ends are whole multiples of 1 / `steps`.
    """


class SplitMetrics(BaseModel):
    """
    Errors on one split, in the property's unit (and on the learned scale where a transform is used).
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    n: int
    """
    Rows.
    """
    mae: float
    """
    Mean absolute error, in the property's unit.
    """
    rmse: float
    """
    Root mean squared error, in the property's unit.
    """
    r2: float | None = None
    """
    Coefficient of determination; null: the labels do not vary.
    """
    max_error: float
    """
    Largest absolute error, in the property's unit.
    """
    mad: float
    """
    Mean absolute deviation of the labels: the error of answering the mean.
    """
    mae_transformed: float | None = None
    """
    MAE of the transformed label, e.g. log10(GPa).
    """
    mae_total: float | None = None
    """
    Of energies per atom: MAE of the whole cell's, in eV.
    """
    within_chemical_accuracy: float | None = None
    """
    Share of cells, 0 to 1, whose energy is off by 1 kcal/mol (0.043 eV) at most.
    """


class StructureFailed(BaseModel):
    """
    Why an input is no usable structure.
    """

    input_id: str
    """
    `id` of the input, or its place, from 0.
    """
    code: str
    """
    Stable code of the reason.
    """
    detail: str
    """
    The reason in words.
    """


class StructureRead(BaseModel):
    """
    A crystal as the models see it.
    """

    input_id: str
    """
    `id` of the input, or its place, from 0.
    """
    formula: str
    """
    Reduced, in alphabetical order.
    """
    n_sites: int
    """
    Atoms in the cell.
    """
    elements: dict[str, int]
    """
    Atoms of each element in the cell.
    """
    cell: CellRead
    """
    The unit cell as it was given, or as its symmetry makes it.
    """
    sites: list[SiteRead]
    """
    Every atom of the cell.
    """
    notes: list[str]
    """
    What had to be assumed while the input was read.
    """


class StructuresAnswer(BaseModel):
    """
    Structures in the order of the inputs; what failed is listed beside them.
    """

    structures: list[StructureRead]
    """
    Those that can be used.
    """
    errors: list[StructureFailed]
    """
    Those that cannot.
    """


class StructuresRequest(BaseModel):
    """
    Structures to read.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    inputs: list[PredictionInput]
    """
    Crystals as in /v1/predictions, at most 1000 as installed.
    """


class Suggestion(BaseModel):
    """
    A candidate to measure.
    """

    rank: int
    """
    From 1, the best.
    """
    input_id: str
    """
    `id` of the candidate, or its place, from 0.
    """
    formula: str
    """
    Reduced, in alphabetical order.
    """
    score: float
    """
    What `score_meaning` says.
    """
    reason: str
    """
    Why, in words.
    """
    prediction: Prediction
    """
    What the model says of it: value, unit, interval, domain.
    """


class TargetRequest(BaseModel):
    """
    What is looked for: more than `above`, less than `below`, a value between both, or the `optimum`.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    above: float | None = None
    """
    In the unit of the property.
    """
    below: float | None = None
    """
    In the unit of the property; with `above`, a range.
    """
    optimum: Literal["highest", "lowest"] | None = None
    """
    Better than every training label that goes with the model: `highest` or `lowest`.
    """


class TemplateStructure(BaseModel):
    """
    A structure to substitute into; exactly one of `cif`, `poscar`, `structure`.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    id: str | None = None
    """
    Your name for it.
    """
    cif: str | None = None
    """
    CIF text of one structure.
    """
    poscar: str | None = None
    """
    VASP POSCAR text, with element symbols.
    """
    structure: dict[str, Any] | None = None
    """
    A pymatgen `Structure.as_dict()`, ASE JSON or OPTIMADE structure.
    """


class TournamentComparison(BaseModel):
    """
    The winner against something simple, on the same rows.
    """

    baseline: str
    """
    What it is held against.
    """
    gain: float
    """
    Share of the baseline's error that the winner saves; negative: it is worse.
    """
    p_rows: float
    """
    p of no difference, over formulas (Wilcoxon).
    """
    p_folds: float
    """
    p of no difference, over folds (Nadeau & Bengio 2003).
    """


class TournamentEntrant(BaseModel):
    """
    One way to learn the data, and how it fared on rows that it had not seen.
    """

    name: str
    """
    What it is made of.
    """
    mae: float
    """
    Mean absolute error of the rows of all folds, in the property's unit.
    """
    mae_transformed: float
    """
    The same on the scale of the transform, by which entrants are ranked.
    """
    fold_mae: list[float]
    """
    Mean absolute error in each fold, in the property's unit.
    """
    p_against_winner: float
    """
    p of the hypothesis that it is as good as the winner: Wilcoxon's signed-rank test, each formula counted once.
    """
    p_against_winner_folds: float
    """
    The same by the corrected resampled t-test over folds (Nadeau & Bengio 2003).
    """
    weight: float
    """
    Its share of the model's answer, 0 to 1.
    """
    seconds: float
    """
    Time it took, s.
    """


class TournamentMember(BaseModel):
    name: str
    """
    Name of the entrant.
    """
    weight: float
    """
    Share of the answer, 0 to 1.
    """


class TournamentWinner(BaseModel):
    """
    What became the model: one entrant, or a combination of several.
    """

    name: str
    """
    An entrant, or `combination`.
    """
    mae: float
    """
    As of an entrant, in the property's unit; of a combination, whose weights the other folds chose.
    """
    mae_transformed: float
    """
    The same on the scale of the transform.
    """
    fold_mae: list[float]
    """
    Mean absolute error in each fold, in the property's unit.
    """
    members: list[TournamentMember]
    """
    The largest share first.
    """


class TrainingRecord(BaseModel):
    """
    How the weights came to be, enough to repeat it.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    method: str
    """
    How it was trained.
    """
    dataset: str
    """
    Name of the data set.
    """
    dataset_sha256: str | None = None
    """
    SHA-256 of the rows; null: not recorded.
    """
    licence: str | None = None
    """
    Licence of the data; null: not known.
    """
    split: str
    """
    How rows were split, with seed.
    """
    n_train: int
    """
    0: not recorded.
    """
    n_val: int
    """
    Rows that watch the training, and choose its epoch unless the last is kept.
    """
    n_test: int
    """
    Rows that nothing was chosen or fitted by.
    """
    seed: int | None
    """
    None: not recorded.
    """
    hyperparameters: dict[str, Any]
    """
    As used.
    """
    best_epoch: int
    """
    The epoch whose weights were kept, from 1; 0 where there are none.
    """
    epochs: int
    """
    Epochs trained; 0 where there are none.
    """
    filters: list[str] | None = None
    """
    Which rows were left out, by which rule, how many.
    """
    command: str | None = None
    """
    Repeats it; null: there is none.
    """
    wall_s: float | None = None
    """
    Time it took, s; null: not recorded.
    """
    device: str = "cpu"
    """
    What it ran on.
    """
    software: dict[str, str] | None = None
    """
    Versions of the packages that it ran with.
    """
    search: dict[str, Any] | None = None
    """
    What a search chose, and its validation errors on the learned scale.
    """
    pretext: PretextRecord | None = None
    """
    What it learned before any label; null: nothing.
    """


class TrustRecord(BaseModel):
    """
    What is known of the errors; the numbers behind intervals and domain lie in a file of their own.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    sha256: str
    """
    Of the file.
    """
    size_bytes: int
    """
    Size of the file, bytes.
    """
    n_reference: int
    """
    Training rows that inputs are compared with.
    """
    calibrated_on: str
    """
    Which rows set the width of intervals, and what is assumed.
    """
    n_calibration: int
    """
    Rows that set the width of intervals.
    """
    highest_level: float
    """
    No interval can be given beyond: too few rows.
    """
    measured_on: str
    """
    How the coverage was measured.
    """
    coverage: Coverage | None
    """
    Of intervals of level 0.9; null: not measured.
    """
    coverage_new_formulas: Coverage | None = None
    """
    On rows whose formula is in no training row, where the split does not ensure it.
    """
    families: list[FamilyErrors]
    """
    Errors by family of compounds.
    """
    mae_by_score: list[float]
    """
    MAE of four equal parts of the test rows, by the score of the domain, the lowest first.
    """
    mae_inside: float | None
    """
    MAE of the test rows that count as like the training data.
    """
    mae_outside: float | None
    """
    MAE of those that do not.
    """
    rank_correlation: float | None
    """
    Spearman's, of score and absolute error, on the test rows.
    """
    rank_correlation_expected: float | None
    """
    The same of the expected error, which sets the width of an interval.
    """
    flagged: float
    """
    Share of the test rows, 0 to 1, that count as unlike the training data.
    """
    flagged_left_out_elements: float | None
    """
    The same of training rows compared only with rows that lack one of their elements.
    """
    command: str | None = None
    """
    Repeats it, where it was done after the training.
    """


class UnseenElements(BaseModel):
    """
    Elements of the data set that a champion model never saw in training.
    """

    model: str
    """
    Name of the pretrained model.
    """
    version: int
    """
    Version of the pretrained model.
    """
    elements: list[str]
    """
    Elements that it was not trained on.
    """
    n_rows: int
    """
    Rows that hold one of them.
    """


class WebhookAttempt(BaseModel):
    """
    One attempt to deliver a message.
    """

    attempt: int
    """
    Counts from 1; one is missing where the sender was killed.
    """
    at: AwareDatetime
    """
    When it was sent, UTC.
    """
    status_code: int | None
    """
    What the receiver answered; null = it did not.
    """
    error: str | None
    """
    Why it counts as failed; null = the message was taken.
    """
    seconds: float
    """
    How long it took.
    """


class WebhookRead(BaseModel):
    """
    A receiver.
    """

    id: str
    """
    Names it in every other call.
    """
    url: str
    """
    Where messages are sent by POST. Its addresses must be public, unless the service allows others.
    """
    events: list[Literal["job.succeeded", "job.failed", "job.cancelled", "job.expired", "webhook.test"]]
    """
    What it is told of.
    """
    description: str
    """
    Your own words.
    """
    created_at: AwareDatetime
    """
    When it was made, UTC.
    """
    disabled_at: AwareDatetime | None
    """
    Since when nothing is sent; null = messages are sent.
    """
    disabled_reason: str | None
    """
    Why nothing is sent.
    """


class WebhookTarget(BaseModel):
    """
    Where a single job announces its end.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    url: str
    """
    Where messages are sent by POST. Its addresses must be public, unless the service allows others.
    """
    secret: str | None = None
    """
    `whsec_` and then 24 to 64 random bytes in base64. With it messages are signed as Standard Webhooks says; it is never shown again. Without one the messages of this job are not signed.
    """


class AccessRead(BaseModel):
    """
    Who the service takes the client for.
    """

    tenant: str
    """
    Whose data, models and jobs the client sees.
    """
    scopes: list[Literal["predict", "train", "admin"]]
    """
    What it may do; `admin` includes the others.
    """
    is_operator: bool
    """
    Whether it may change shared models, too.
    """
    key_id: str | None
    """
    `id` of the key; null = the service needs none from here.
    """
    key_name: str
    """
    What the key is called.
    """
    key_expires_at: AwareDatetime | None
    """
    When the key ends; null = never.
    """
    requests_per_minute: int | None
    """
    Most requests a minute; null = any number.
    """


class BulkInputRead(BaseModel):
    """
    The file that is predicted from.
    """

    name: str
    """
    As it was sent.
    """
    format: Literal["csv", "jsonl", "parquet", "zip", "dataset"]
    """
    How the file is written.
    """
    column: str | None
    """
    Holds the structures or compositions; null for a zip.
    """
    id_column: str | None
    """
    null: inputs are called by their place, from 1, or their file name.
    """
    dataset_id: str | None
    """
    null: the file was uploaded for this job.
    """
    size_bytes: int
    """
    Size of the file, bytes.
    """
    sha256: str
    """
    Of the file.
    """
    notes: list[str]
    """
    What was chosen in the file, where there was a choice.
    """


class BulkPredictionCreate(BaseModel):
    """
    A bulk prediction of a stored data set.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    models: list[str] | None = None
    """
    `NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`.
    """
    properties: list[str] | None = None
    """
    Property keys: their champions answer.
    """
    interval_level: float = 0.9
    """
    Share of true values that intervals are to hold, 0.5 to 0.99.
    """
    dataset_id: str
    """
    From POST /v1/datasets.
    """
    webhook: WebhookTarget | None = None
    """
    Where the end of this job is announced.
    """


class BulkPredictionRead(BaseModel):
    """
    A bulk prediction.
    """

    id: str
    """
    Names it in every other call.
    """
    status: Literal[
        "validating",
        "queued",
        "running",
        "pausing",
        "paused",
        "cancelling",
        "succeeded",
        "failed",
        "cancelled",
        "expired",
    ]
    """
    succeeded, failed, cancelled and expired are final.
    """
    status_reason: str | None
    """
    Why it is in this state.
    """
    error: JobErrorRead | None
    """
    Why it failed.
    """
    created_at: AwareDatetime
    """
    When it was made, UTC.
    """
    started_at: AwareDatetime | None
    """
    When a worker first took it.
    """
    finished_at: AwareDatetime | None
    """
    When it reached its final state.
    """
    results_deleted_at: AwareDatetime | None
    """
    null while the results are kept.
    """
    input: BulkInputRead
    """
    What is predicted from.
    """
    models: list[BulkModelRead]
    """
    Those that answer, in the order of the results.
    """
    attempts: int
    """
    How often a worker took the job; above 1 after a worker or machine was lost.
    """
    progress: BulkProgress
    """
    How far it is.
    """


class DeliveryRead(BaseModel):
    """
    A message to one receiver, and what came of it.
    """

    id: str
    """
    In the header `webhook-id`, the same at every attempt.
    """
    webhook_id: str
    """
    The webhook; null: the address was given with the job.
    """
    job_id: str | None
    """
    The job it tells of; null for a test.
    """
    event: Literal["job.succeeded", "job.failed", "job.cancelled", "job.expired", "webhook.test"]
    """
    What it tells of.
    """
    status: Literal["pending", "delivered", "failed"]
    """
    `failed`: given up after all attempts.
    """
    attempts: int
    """
    Attempts begun.
    """
    next_attempt_at: AwareDatetime | None
    """
    null = there will be none.
    """
    created_at: AwareDatetime
    """
    When it was made, UTC.
    """
    ended_at: AwareDatetime | None
    """
    When it was taken or given up.
    """
    body: str
    """
    What was or will be sent, to the byte.
    """
    log: list[WebhookAttempt]
    """
    The attempts, oldest first.
    """


class EmbeddingAnswer(BaseModel):
    """
    Vectors in the order of the inputs; what failed is listed beside them.
    """

    model: ModelReference
    dimension: int
    """
    Length of the vectors.
    """
    kind: str
    """
    What the vectors are.
    """
    embeddings: list[Embedding]
    """
    One for each input that could be used.
    """
    errors: list[PredictionError]
    """
    Inputs that gave no vector.
    """


class EmbeddingRequest(BaseModel):
    """
    What to embed, and with which model.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    inputs: list[PredictionInput]
    """
    Crystals and compositions, at most 1000 as installed; larger sets go in parts.
    """
    model: str
    """
    `NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`.
    """
    contributions: bool = False
    """
    Also what each atom adds to the value, which SchNet models alone can tell.
    """


class FineTuningJobCreate(BaseModel):
    """
    What to train. Everything but the data set and the name may be left to the service.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    dataset_id: str
    """
    From POST /v1/datasets.
    """
    model_name: str
    """
    Name of the model to make; a name of your own that exists gets a further version. Lower-case letters, digits, '.', '_', '-', at most 64.
    """
    base_model: str = "auto"
    """
    The model to start from: NAME (its champion), NAME@ALIAS or NAME/VERSION. `auto`: the shipped model of the method's family that learned what transfers best to the property (of gaps PBE gaps; of moduli, phonons and dielectric constants bond lengths and hidden elements), else formation energy; of method `auto` all that read such data.
    """
    method: Literal[
        "scratch",
        "fine_tune",
        "freeze",
        "freeze_early",
        "tl1",
        "tl2",
        "tl3",
        "rl_relu",
        "rl_dense",
        "tlrl_relu",
        "tlrl_dense",
        "pls",
        "lasso",
        "svr",
        "rf",
        "extra_trees",
        "gradient_boosting",
        "soap_krr",
        "automl_ef",
        "automl_pa",
        "auto",
    ] = "fine_tune"
    """
    See GET /v1/fine-tuning/methods.
    """
    hyperparameters: Hyperparameters | Literal["auto"] | None = None
    """
    What is left out, or all with `auto`, is chosen.
    """
    seed: int = 0
    """
    Same seed, same split, same starting weights.
    """
    webhook: WebhookTarget | None = None
    """
    Where the end of this job is announced, beside the webhooks of POST /v1/webhooks.
    """


class Histogram(BaseModel):
    """
    How the usable labels are spread.
    """

    scale: Literal["identity", "log10"]
    """
    On which the bins are equally wide: that on which the labels are learned.
    """
    edges: list[float]
    """
    Of the bins, in the property's unit; one more than counts.
    """
    counts: list[int]
    """
    Rows in each bin.
    """


class JobEventList(BaseModel):
    """
    Events in order.
    """

    items: list[JobEventRead]
    """
    Oldest first.
    """
    next: int | None
    """
    Pass it as `after` to get what follows; null = nothing more will come.
    """


class LabelStatistics(BaseModel):
    """
    The usable labels, in the property's unit.
    """

    unit: str
    """
    Unit of the labels.
    """
    min: float
    """
    Smallest label, in `unit`.
    """
    max: float
    """
    Largest label, in `unit`.
    """
    mean: float
    """
    Mean label, in `unit`.
    """
    median: float
    """
    Median label, in `unit`.
    """
    std: float
    """
    Standard deviation of the labels, in `unit`.
    """
    mad: float
    """
    Mean absolute deviation from the mean: the error of always answering the mean.
    """
    histogram: Histogram | None = None
    """
    null for data sets from before there was one.
    """


class MethodList(BaseModel):
    """
    Every method, once for each architecture it makes.
    """

    items: list[MethodRead]
    """
    Networks first, then baselines.
    """


class Metrics(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
    )
    train: SplitMetrics | None = None
    """
    Rows that trained; null: not measured.
    """
    val: SplitMetrics | None = None
    """
    Rows that watched the training; they chose its epoch unless the last was kept. Null: none.
    """
    test: SplitMetrics | None = None
    """
    Rows that nothing was chosen or fitted by; null: there were none.
    """


class PageBulkPredictionRead(BaseModel):
    items: list[BulkPredictionRead]
    """
    What was asked for, in the order that the call states.
    """
    next: str | None
    """
    Send it as `cursor` to get the next page; null = this was the last one.
    """


class PageDeliveryRead(BaseModel):
    items: list[DeliveryRead]
    """
    What was asked for, in the order that the call states.
    """
    next: str | None
    """
    Send it as `cursor` to get the next page; null = this was the last one.
    """


class PageWebhookRead(BaseModel):
    items: list[WebhookRead]
    """
    What was asked for, in the order that the call states.
    """
    next: str | None
    """
    Send it as `cursor` to get the next page; null = this was the last one.
    """


class PredictionAnswer(BaseModel):
    """
    Values in the order of the inputs; what failed is listed beside them.
    """

    predictions: list[Prediction]
    """
    One for each input and model that worked.
    """
    errors: list[PredictionError]
    """
    Inputs, or models for an input, that gave no value.
    """


class PropertyRead(BaseModel):
    """
    A predictable quantity; values are always in `unit`.
    """

    key: str
    """
    Name in requests and answers.
    """
    label: str
    """
    Name for people.
    """
    unit: str
    """
    Unit of every value; `1` for a plain number.
    """
    definition: str
    """
    What exactly it is: method, per what.
    """
    task_type: Literal["regression"]
    """
    What kind of answer it is.
    """
    transform: Literal["identity", "log10"]
    """
    The scale models learn on; answers are never transformed.
    """
    models: list[ServingModel]
    """
    Champions that predict it now.
    """


class PropertyRecord(BaseModel):
    """
    The property as it was when the model was trained (the catalogue may move on).
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    key: str
    """
    Key of the property.
    """
    label: str
    """
    Name for people.
    """
    unit: str
    """
    Unit of labels and predictions; `1` for a plain number.
    """
    definition: str
    """
    What exactly it is: method, per what.
    """
    transform: Literal["identity", "log10"]
    """
    Scale on which it is learned.
    """


class PrototypeGenerator(BaseModel):
    """
    Every choice of elements for the sites of structure types.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    charge_balanced: bool = True
    """
    Only what common oxidation states make neutral, anions being more electronegative than every cation. Intermetallic prototypes (`half_heusler`, `full_heusler`, `b2`, `l12`) are not held to it.
    """
    kind: Literal["prototypes"]
    """
    Which kind of generator this is.
    """
    prototypes: list[
        Literal[
            "rocksalt",
            "cesium_chloride",
            "zincblende",
            "wurtzite",
            "nickel_arsenide",
            "fluorite",
            "antifluorite",
            "rutile",
            "perovskite",
            "double_perovskite",
            "spinel",
            "alpha_nafeo2",
            "chalcopyrite",
            "half_heusler",
            "full_heusler",
            "b2",
            "l12",
        ]
    ] = [
        "rocksalt",
        "cesium_chloride",
        "zincblende",
        "wurtzite",
        "nickel_arsenide",
        "fluorite",
        "antifluorite",
        "rutile",
        "perovskite",
        "double_perovskite",
        "spinel",
        "alpha_nafeo2",
        "chalcopyrite",
        "half_heusler",
        "full_heusler",
        "b2",
        "l12",
    ]
    """
    Structure types; default: all.
    """
    sites: dict[str, list[str]] = {}
    """
    Elements to put on a site: `A`, `B`, ... as the prototypes name them, `X` the anion of ionic ones. A site that is not listed takes `elements`.
    """
    elements: list[str] | None = None
    """
    Elements for every other site; default: all that are stable enough.
    """
    perovskite_fit: PerovskiteFit | None = None
    """
    Of `perovskite` and `double_perovskite` only those whose ions fit, `{}` for the usual limits; what has an ion without a tabulated radius is left out. Other structure types are not held to it.
    """


class ReportProperty(BaseModel):
    """
    What it predicts.
    """

    key: str
    """
    Key of the property.
    """
    label: str
    """
    Name for people.
    """
    unit: str
    """
    Of labels, predictions and every `mae`.
    """
    definition: str
    """
    What exactly it is: method, per what.
    """
    transform: Literal["identity", "log10"]
    """
    Scale on which it is learned, and of every `mae_transformed`.
    """


class SetAside(BaseModel):
    """
    A candidate that is not ranked, because its label is known or comes with that of another.
    """

    input_id: str
    """
    `id` of the candidate, or its place, from 0.
    """
    code: Literal["in_training_data", "in_held_out_data", "repeats_candidate"]
    """
    Why it is not ranked.
    """
    detail: str
    """
    Which row it is the same as.
    """


class SubstitutionGenerator(BaseModel):
    """
    Elements of given structures exchanged for others, the cell scaled with the radii.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    charge_balanced: bool = True
    """
    Only what common oxidation states make neutral, anions being more electronegative than every cation. Intermetallic prototypes (`half_heusler`, `full_heusler`, `b2`, `l12`) are not held to it.
    """
    kind: Literal["substitutions"]
    """
    Which kind of generator this is.
    """
    structures: list[TemplateStructure]
    """
    Structures to substitute elements in.
    """
    substitutions: dict[str, list[str]] = Field(..., min_length=1)
    """
    For an element of the structures, those that may take its place; list the element itself to keep it as one of the choices. Elements that are not listed stay.
    """


class SuggestionAnswer(BaseModel):
    """
    Candidates in the order in which to measure them. The same request gives the same answer.
    """

    model: ModelReference
    strategy: Literal["batch", "uncertainty", "diversity", "target"]
    """
    By what it was ranked.
    """
    score_meaning: str
    """
    What scores are, and in which unit.
    """
    n_ranked: int
    """
    Candidates that were ranked: all but those set aside and those in `errors`.
    """
    suggestions: list[Suggestion]
    """
    Best first.
    """
    set_aside: list[SetAside]
    """
    Candidates whose label is known, or comes with that of another.
    """
    errors: list[PredictionError]
    """
    Candidates that gave no value.
    """


class SuggestionRequest(BaseModel):
    """
    Candidates and how to rank them; exactly one of `candidates` and `dataset_id`.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    model: str
    """
    The model whose next labels these are: `NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`.
    """
    strategy: Literal["batch", "uncertainty", "diversity", "target"] = "batch"
    """
    `batch`: materials that speak for many others about which the model is unsure. `uncertainty`: the largest expected errors. `diversity`: what is farthest from everything that has a label. `target`: what is likeliest to be what `target` says.
    """
    count: int = 10
    """
    How many to suggest, at most.
    """
    target: TargetRequest | None = None
    """
    What is looked for; with strategy `target` only.
    """
    interval_level: float = 0.9
    """
    Share of true values that intervals are to hold, 0.5 to 0.99.
    """
    candidates: list[PredictionInput] | None = None
    """
    Crystals or compositions, at most 1000 as installed.
    """
    dataset_id: str | None = None
    """
    A stored data set whose rows are the candidates, at most 5,000; its labels are not looked at.
    """


class TournamentReport(BaseModel):
    """
    How the method was chosen: all errors are of training rows, each by a model that had not seen its formula.
    """

    n_rows: int
    """
    Rows that competed; the test rows are not among them.
    """
    n_folds: int
    """
    Folds of the cross-validation.
    """
    winner: TournamentWinner
    """
    What became the model.
    """
    entrants: list[TournamentEntrant]
    """
    Those that played all folds, the best first.
    """
    left_out: list[LeftOut]
    """
    Entrants that did not play all folds.
    """
    against_baseline: TournamentComparison
    """
    The best of what anybody would try first.
    """
    against_median: TournamentComparison | None = None
    """
    The same answer for all rows: the median of the rows that train.
    """
    against_known: TournamentComparison | None = None
    """
    The best of the pretrained models that predict this property already, as it is.
    """
    is_better_than_baseline: bool
    """
    Whether the winner is shown to be better than all of these. If not, the version is not promoted.
    """
    reason: str
    """
    The reason of the choice in words.
    """
    sources: list[str]
    """
    Pretrained models that took part: name and begin of the weights' sha256.
    """
    learning_curve: list[LearningCurvePoint]
    """
    Empty where there was no time.
    """
    seconds: float
    """
    Time the whole tournament took, s.
    """


class ValidationReport(BaseModel):
    """
    Row by row findings and the state of the whole.
    """

    format: str
    """
    How the file was read.
    """
    input_kind: Literal["structure", "composition"] | None
    """
    What each row holds; null when no row could be used.
    """
    input_column: str
    """
    Column of the structures or compositions.
    """
    label_column: str
    """
    Column of the labels.
    """
    n_rows: int
    """
    Rows in the file.
    """
    n_usable: int
    """
    Rows that were kept.
    """
    n_failed: int
    """
    Rows that cannot be used.
    """
    n_duplicates: int
    """
    Rows left out because they repeat another.
    """
    n_conflicts: int
    """
    Inputs that come with several different labels.
    """
    n_outliers: int
    """
    Rows whose label lies far from all others; they are kept.
    """
    n_formulas: int
    """
    Different reduced formulas among the usable rows.
    """
    failures: list[RowFailure]
    """
    At most 200; `failure_counts` counts all.
    """
    failure_counts: dict[str, int]
    """
    Rows by code of their failure.
    """
    duplicates: list[DuplicateRow]
    """
    Rows left out because they repeat another; the first ones.
    """
    similar: list[SimilarRows]
    """
    Rows of one formula with different structures; the first ones.
    """
    conflicts: list[LabelConflict]
    """
    Inputs with several different labels; the first ones.
    """
    outliers: list[Outlier]
    """
    Rows whose label lies far from all others, the farthest first.
    """
    labels: LabelStatistics | None
    """
    The labels of the usable rows; null: there are none.
    """
    elements: dict[str, int]
    """
    Usable rows that hold each element.
    """
    unseen_elements: list[UnseenElements]
    """
    By each champion model of the same kind of input.
    """
    refused: str | None = None
    """
    Why nothing can be learned from these rows, which are then not stored; null: they are.
    """
    warnings: list[str]
    """
    What to look at before training.
    """


class WebhookCreate(BaseModel):
    """
    A receiver of the ends of all jobs.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    url: str
    """
    Where messages are sent by POST. Its addresses must be public, unless the service allows others.
    """
    events: list[Literal["job.succeeded", "job.failed", "job.cancelled", "job.expired", "webhook.test"]] = [
        "job.succeeded",
        "job.failed",
        "job.cancelled",
        "job.expired",
    ]
    """
    What to tell of; all ends of jobs by default.
    """
    secret: str | None = None
    """
    `whsec_` and then 24 to 64 random bytes in base64. With it messages are signed as Standard Webhooks says; it is never shown again. Left out: one is made.
    """
    description: str = ""
    """
    Your own words.
    """


class WebhookCreated(BaseModel):
    """
    A new receiver, with its secret, which no other answer shows.
    """

    id: str
    """
    Names it in every other call.
    """
    url: str
    """
    Where messages are sent by POST. Its addresses must be public, unless the service allows others.
    """
    events: list[Literal["job.succeeded", "job.failed", "job.cancelled", "job.expired", "webhook.test"]]
    """
    What it is told of.
    """
    description: str
    """
    Your own words.
    """
    created_at: AwareDatetime
    """
    When it was made, UTC.
    """
    disabled_at: AwareDatetime | None
    """
    Since when nothing is sent; null = messages are sent.
    """
    disabled_reason: str | None
    """
    Why nothing is sent.
    """
    secret: str
    """
    Check the signatures with it; keep it now, it is not shown again.
    """


class DatasetCreated(BaseModel):
    """
    The answer to an upload; the report is of the file that was sent now.
    """

    id: str
    """
    Names it in every other call.
    """
    name: str
    """
    Name for people.
    """
    property: PropertyRecord
    """
    What the labels are, with unit and definition.
    """
    input_kind: Literal["structure", "composition"]
    """
    What each row holds.
    """
    n_rows: int
    """
    Usable rows, the ones that are stored.
    """
    sha256: str
    """
    Hash of the rows: the same rows uploaded again are the same data set.
    """
    size_bytes: int
    """
    Size as stored.
    """
    created_at: AwareDatetime
    """
    When it was made, UTC.
    """
    report: ValidationReport
    """
    What was found in the file.
    """
    created: bool
    """
    false = the same rows were uploaded before; this is that data set.
    """


class DatasetRead(BaseModel):
    """
    A stored data set with its validation report.
    """

    id: str
    """
    Names it in every other call.
    """
    name: str
    """
    Name for people.
    """
    property: PropertyRecord
    """
    What the labels are, with unit and definition.
    """
    input_kind: Literal["structure", "composition"]
    """
    What each row holds.
    """
    n_rows: int
    """
    Usable rows, the ones that are stored.
    """
    sha256: str
    """
    Hash of the rows: the same rows uploaded again are the same data set.
    """
    size_bytes: int
    """
    Size as stored.
    """
    created_at: AwareDatetime
    """
    When it was made, UTC.
    """
    report: ValidationReport
    """
    What was found in the file.
    """


class DatasetSummary(BaseModel):
    """
    A stored data set.
    """

    id: str
    """
    Names it in every other call.
    """
    name: str
    """
    Name for people.
    """
    property: PropertyRecord
    """
    What the labels are, with unit and definition.
    """
    input_kind: Literal["structure", "composition"]
    """
    What each row holds.
    """
    n_rows: int
    """
    Usable rows, the ones that are stored.
    """
    sha256: str
    """
    Hash of the rows: the same rows uploaded again are the same data set.
    """
    size_bytes: int
    """
    Size as stored.
    """
    created_at: AwareDatetime
    """
    When it was made, UTC.
    """


class FineTuningReport(BaseModel):
    """
    A succeeded job: what was trained on what, how good it is, and of method `auto` the tournament.
    """

    job_id: str
    """
    The job that it reports on.
    """
    finished_at: AwareDatetime | None
    """
    When it ended, UTC; null = it has not.
    """
    outcome: str
    """
    What became of the model.
    """
    model: ReportModel
    property: ReportProperty
    dataset_id: str
    """
    The data set.
    """
    dataset_name: str
    """
    Name of the data set.
    """
    method: Literal[
        "scratch",
        "fine_tune",
        "freeze",
        "freeze_early",
        "tl1",
        "tl2",
        "tl3",
        "rl_relu",
        "rl_dense",
        "tlrl_relu",
        "tlrl_dense",
        "pls",
        "lasso",
        "svr",
        "rf",
        "extra_trees",
        "gradient_boosting",
        "soap_krr",
        "automl_ef",
        "automl_pa",
        "auto",
    ]
    """
    How it is trained.
    """
    architecture: Literal["cgcnn", "schnet", "elemnet", "elemnet_representation", "baseline", "ensemble"]
    """
    Kind of network or regressor.
    """
    base_model: Parent | None
    """
    The version it started from.
    """
    hyperparameters: Hyperparameters
    """
    As used.
    """
    seed: int
    """
    Of the split and the starting weights.
    """
    split: ReportSplit
    metrics: Metrics
    """
    Errors in the property's unit; those of `test` tell how good the model is.
    """
    epochs: int
    """
    Epochs trained; 0 where there are none.
    """
    wall_s: float | None
    """
    Time the training took, s.
    """
    tournament: TournamentReport | None
    """
    null unless the method is `auto`.
    """
    test_rows: list[HeldOutRow]
    """
    Test rows beside the model's answers, by label, at most 1,000; empty where they were not kept.
    """


class JobResult(BaseModel):
    """
    The model version that the job made.
    """

    model: str
    """
    Name of the model.
    """
    version: int
    """
    Predict with it as `MODEL/VERSION`.
    """
    metrics: Metrics
    """
    Errors on train, validation and held-out test rows, in the property's unit.
    """


class ModelVersionRead(BaseModel):
    """
    One immutable, trained model.
    """

    name: str
    """
    The model it is a version of.
    """
    version: int
    """
    Counts from 1 within the model; never given twice.
    """
    id: str
    """
    Names it for good.
    """
    property: PropertyRecord
    """
    What it predicts, with unit and definition.
    """
    input_kind: Literal["structure", "composition"]
    """
    What it predicts from.
    """
    architecture: Literal["cgcnn", "schnet", "elemnet", "elemnet_representation", "baseline", "ensemble"]
    """
    Kind of network or regressor.
    """
    method: str
    """
    How it was trained.
    """
    description: str
    """
    In words.
    """
    scope: str
    """
    On which materials it may be used; empty = on all.
    """
    metrics: Metrics
    """
    Errors on each split, in the property's unit.
    """
    elements: list[str]
    """
    Elements it saw in training.
    """
    source: str
    """
    `shipped`, `fine_tuning` or `import`.
    """
    dataset: str
    """
    Name of the data it was trained on.
    """
    dataset_id: str | None
    """
    The data set here, when it was uploaded here.
    """
    job_id: str | None
    """
    The job that made it.
    """
    parent: ParentRead | None
    """
    The version whose weights the training started from; null: none.
    """
    aliases: list[str]
    """
    Aliases that point at it.
    """
    sha256: str
    """
    sha256 of the weights.
    """
    size_bytes: int
    """
    Size of the weights.
    """
    created_at: AwareDatetime
    """
    When it was registered here.
    """


class PageDatasetSummary(BaseModel):
    items: list[DatasetSummary]
    """
    What was asked for, in the order that the call states.
    """
    next: str | None
    """
    Send it as `cursor` to get the next page; null = this was the last one.
    """


class PageModelVersionRead(BaseModel):
    items: list[ModelVersionRead]
    """
    What was asked for, in the order that the call states.
    """
    next: str | None
    """
    Send it as `cursor` to get the next page; null = this was the last one.
    """


class PropertyList(BaseModel):
    """
    The catalogue and the properties of users' models.
    """

    items: list[PropertyRead]
    """
    One for each property.
    """


class ScreeningCreate(BaseModel):
    """
    A screening of a stored data set, of candidates in the request, or of candidates that are made.
    """

    model_config = ConfigDict(
        extra="forbid",
    )
    constraints: list[Constraint] = Field([], validate_default=True)
    """
    What each candidate must meet; one for each property.
    """
    objectives: list[Objective] = Field([], validate_default=True)
    """
    What is best among those that meet the constraints. One ranks by its expected value; two or three rank by Pareto fronts.
    """
    models: list[str] | None = None
    """
    Models to use, `NAME`, `NAME@ALIAS` or `NAME/VERSION`; for a property that none of them predicts, its champion answers.
    """
    properties: list[str] = []
    """
    More properties to predict and report, beside those of constraints and objectives.
    """
    elements: ElementFilter | None = None
    """
    Which compositions are looked at.
    """
    in_domain: bool = True
    """
    Only candidates like the training data of every model that answers: looking for extremes finds those whose values are wrong. false: all, and the results say which are not.
    """
    min_probability: float = 0.5
    """
    Smallest probability of meeting all constraints that a ranked candidate may have.
    """
    joint: Literal["independent", "frechet"] = "independent"
    """
    Probability of meeting several constraints: `independent` multiplies (errors of different properties taken as independent), `frechet` takes the lowest that any dependence allows.
    """
    rank_by: Literal["probability", "objective", "pareto"] | None = None
    """
    `probability` of meeting all constraints; `objective`, its expected value; `pareto`, fronts of two or three objectives. Default: what the objectives allow.
    """
    count: int = 100
    """
    Most candidates to select.
    """
    diverse: bool = False
    """
    true: of the best 10 x `count`, those that differ most in composition (greedy k-centre, the best one first).
    """
    interval_level: float = 0.9
    """
    Share of true values that intervals are to hold, 0.5 to 0.99.
    """
    dataset_id: str | None = None
    """
    A stored data set; its labels are not looked at.
    """
    candidates: list[PredictionInput] | None = None
    """
    Crystals or compositions; larger sets come as a file.
    """
    generator: PrototypeGenerator | SubstitutionGenerator | SolidSolutionGenerator | None = None
    """
    How candidates are made.
    """
    webhook: WebhookTarget | None = None
    """
    Where the end of this job is announced.
    """


class ScreeningRead(BaseModel):
    """
    A screening.
    """

    id: str
    """
    Names it in every other call.
    """
    status: Literal[
        "validating",
        "queued",
        "running",
        "pausing",
        "paused",
        "cancelling",
        "succeeded",
        "failed",
        "cancelled",
        "expired",
    ]
    """
    succeeded, failed, cancelled and expired are final.
    """
    status_reason: str | None
    """
    Why it is in this state.
    """
    error: JobErrorRead | None
    """
    Why it failed.
    """
    created_at: AwareDatetime
    """
    When it was made, UTC.
    """
    started_at: AwareDatetime | None
    """
    When a worker first took it.
    """
    finished_at: AwareDatetime | None
    """
    When it reached its final state.
    """
    results_deleted_at: AwareDatetime | None
    """
    null while the results are kept.
    """
    input: BulkInputRead | None
    """
    The file; null: candidates were made by `generator`.
    """
    generator: PrototypeGenerator | SubstitutionGenerator | SolidSolutionGenerator | None
    """
    How candidates are made; null: they were given.
    """
    wish: ScreeningWish
    """
    What is looked for.
    """
    models: list[BulkModelRead]
    """
    Those that answer, one for each property.
    """
    attempts: int
    """
    How often a worker took the job; above 1 after a worker or machine was lost.
    """
    progress: BulkProgress
    """
    How far it is.
    """
    counts: ScreeningCounts | None
    """
    null before it has succeeded.
    """


class FineTuningJobRead(BaseModel):
    """
    A job with every choice made for it.
    """

    id: str
    """
    Names it in every other call.
    """
    status: Literal[
        "validating",
        "queued",
        "running",
        "pausing",
        "paused",
        "cancelling",
        "succeeded",
        "failed",
        "cancelled",
        "expired",
    ]
    """
    succeeded, failed, cancelled and expired are final.
    """
    status_reason: str | None
    """
    Why it is in this state.
    """
    error: JobErrorRead | None
    """
    Why it failed.
    """
    created_at: AwareDatetime
    """
    When it was made, UTC.
    """
    started_at: AwareDatetime | None
    """
    When a worker first took it.
    """
    finished_at: AwareDatetime | None
    """
    When it reached its final state.
    """
    dataset_id: str
    """
    The data set it trains on.
    """
    model_name: str
    """
    The model that gets a version.
    """
    property: str
    """
    Key of the property that the model predicts.
    """
    unit: str
    """
    Unit of the labels, the errors and the predictions.
    """
    base_model: BaseModelRead | None
    """
    null when the method starts from random weights.
    """
    sources: list[BaseModelRead] = Field([], validate_default=True)
    """
    Pretrained models that method `auto` may use.
    """
    method: Literal[
        "scratch",
        "fine_tune",
        "freeze",
        "freeze_early",
        "tl1",
        "tl2",
        "tl3",
        "rl_relu",
        "rl_dense",
        "tlrl_relu",
        "tlrl_dense",
        "pls",
        "lasso",
        "svr",
        "rf",
        "extra_trees",
        "gradient_boosting",
        "soap_krr",
        "automl_ef",
        "automl_pa",
        "auto",
    ]
    """
    How it is trained.
    """
    architecture: Literal["cgcnn", "schnet", "elemnet", "elemnet_representation", "baseline", "ensemble"]
    """
    Kind of network or regressor; of each network where `members` is above 1.
    """
    hyperparameters: Hyperparameters
    """
    As used: given, or chosen where left out; null where the method has no use for it.
    """
    seed: int
    """
    Of the split and the starting weights.
    """
    attempts: int
    """
    How often a worker took the job; above 1 after a worker or machine was lost.
    """
    progress: JobProgress | None
    """
    null before the first epoch has ended, and for baselines.
    """
    search: JobSearch | None
    """
    null unless it is a baseline whose fits have begun.
    """
    result: JobResult | None
    """
    null unless it succeeded.
    """


class LineageRead(BaseModel):
    """
    Where a version comes from and what came from it.
    """

    version: ModelVersionRead
    """
    The version that was asked about.
    """
    ancestors: list[ModelVersionRead]
    """
    Its parent, the parent's parent, and so on.
    """
    children: list[ModelVersionRead]
    """
    Versions that started from its weights.
    """


class ModelCardRead(BaseModel):
    """
    The model card, for programs.
    """

    version: ModelVersionRead
    """
    The version that the card is of.
    """
    training: TrainingRecord
    """
    How it was made.
    """
    trust: TrustRecord | None
    """
    What is known of its errors; null: no intervals.
    """
    markdown: str
    """
    The card as people read it.
    """


class ModelRead(BaseModel):
    """
    A named line of versions that predict one property.
    """

    name: str
    """
    Name of the model.
    """
    property_key: str
    """
    Key of the property that it predicts.
    """
    input_kind: Literal["structure", "composition"]
    """
    What it predicts from.
    """
    description: str
    """
    In words.
    """
    aliases: dict[str, int]
    """
    Alias -> version.
    """
    champion: ModelVersionRead | None
    """
    The version that answers when only the name is given.
    """
    created_at: AwareDatetime
    """
    When it was first registered here, UTC.
    """


class PageFineTuningJobRead(BaseModel):
    items: list[FineTuningJobRead]
    """
    What was asked for, in the order that the call states.
    """
    next: str | None
    """
    Send it as `cursor` to get the next page; null = this was the last one.
    """


class PageModelRead(BaseModel):
    items: list[ModelRead]
    """
    What was asked for, in the order that the call states.
    """
    next: str | None
    """
    Send it as `cursor` to get the next page; null = this was the last one.
    """


class PageScreeningRead(BaseModel):
    items: list[ScreeningRead]
    """
    What was asked for, in the order that the call states.
    """
    next: str | None
    """
    Send it as `cursor` to get the next page; null = this was the last one.
    """
