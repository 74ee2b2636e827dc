"""What a request must fulfil before its job exists, beside what the settings of its method say."""

from app.core.errors import InputKindMismatch, InvalidJob
from app.datasets.models import Dataset
from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method, method_info
from app.registry.manifest import Architecture, InputKind, Manifest
from app.registry.models import ModelVersion

MIN_FORMULAS = 3
AUTO_MIN_FORMULAS = 10
"""Fewer leave folds, and folds within folds, with one formula or none."""
_FORMULAS_A_MEMBER = 2


def check_split(method: Method, chosen: Hyperparameters, dataset: Dataset) -> None:
    """Raises InvalidJob where train, validation, test or folds would surely be left without rows or formulas."""
    n_rows = dataset.n_rows
    n_train = round((chosen.train_fraction or 0) * n_rows)
    n_val = round((chosen.val_fraction or 0) * n_rows)
    if min(n_train - 1, n_val, n_rows - n_train - n_val) < 1:
        raise InvalidJob(
            f"train_fraction {chosen.train_fraction:g} and val_fraction {chosen.val_fraction:g} of {n_rows} rows leave "
            f"{n_train} for training, {n_val} for validation and {n_rows - n_train - n_val} for the test; at least 2, "
            "1 and 1 are needed."
        )
    n_formulas = dataset.report.get("n_formulas", n_rows)
    again, needed = ("", MIN_FORMULAS)
    if method is Method.AUTO:
        again, needed = " and holds out whole formulas again to compare methods", AUTO_MIN_FORMULAS
    elif (n_members := chosen.members or 1) > 1:
        again = f" and trains each of {n_members} members without some of the formulas"
        needed = max(AUTO_MIN_FORMULAS, _FORMULAS_A_MEMBER * n_members)
    if chosen.split != "random" and n_formulas < needed:
        raise InvalidJob(
            f"Data set {dataset.id} has {n_formulas} different formula{'s' if n_formulas > 1 else ''}: split by "
            f"formula, which keeps each in one of train, validation and test{again}, at least {needed} are needed. For "
            "polymorphs of one material set hyperparameters.split to 'random'."
        )


def check_size(method: Method, chosen: Hyperparameters, dataset: Dataset) -> None:
    """Raises InvalidJob where a kernel machine would get more rows than it can take."""
    most = method_info(method).max_rows
    n_fitted = round(((chosen.train_fraction or 0) + (chosen.val_fraction or 0)) * dataset.n_rows)
    if most is not None and n_fitted > most:
        raise InvalidJob(
            f"{n_fitted} rows would train, but {method.value!r} is a kernel machine and takes at most {most}. Choose "
            "lower fractions, or another method."
        )


def usable_source(version: ModelVersion, input_kind: InputKind) -> ModelVersion:
    """The version, as something that method `auto` can use. Raises InputKindMismatch, InvalidJob."""
    manifest, name = Manifest.model_validate(version.manifest), f"{version.model_name}/{version.version}"
    if manifest.input_kind is not input_kind:
        raise InputKindMismatch(
            f"The base model {name} reads a {manifest.input_kind}, but the data set holds a {input_kind} in each row. "
            "Choose another base_model, or 'auto'."
        )
    wanted = Architecture.CGCNN if input_kind is InputKind.STRUCTURE else Architecture.ELEMNET
    is_usual = manifest.graph in (None, GraphSettings().model_dump(mode="json"))
    if manifest.architecture is not wanted or not is_usual:
        raise InvalidJob(
            f"Method 'auto' cannot use {name} ({manifest.architecture}{'' if is_usual else ' on other graphs'}): of "
            f"models that read a {input_kind} it uses {wanted}. Choose another base_model, or 'auto'."
        )
    return version


def check_unseen(manifest: Manifest, dataset: Dataset) -> None:
    """Raises InvalidJob where a source of method `auto` has learned the labels that are to be held out from it."""
    same_property = manifest.property.key == dataset.property_record["key"]
    if same_property and manifest.training.dataset_sha256 == dataset.content_sha256:
        raise InvalidJob(
            f"Method 'auto' compares methods on rows that none of them has seen, and {manifest.name} was trained on "
            "this very data set. Choose the model that it started from, or 'auto', as base_model."
        )


def check_frozen(manifest: Manifest, n_frozen: int) -> None:
    n_convolutions = manifest.network.get("n_conv", n_frozen)
    if n_frozen > n_convolutions:
        raise InvalidJob(
            f"frozen_convolutions is {n_frozen}, but the base model {manifest.name} has {n_convolutions} convolutions."
        )
