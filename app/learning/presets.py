"""Hyperparameters filled in: the settings of the papers and better ones, as data. Importable without torch."""

from typing import Any

from app.core.errors import InvalidJob
from app.learning.hyperparameters import FeatureName, Hyperparameters, NetworkName
from app.learning.methods import (
    METHODS,
    STRUCTURAL_FEATURES,
    Method,
    MethodInfo,
    architecture_from,
    method_info,
    methods_for_data,
    named,
)
from app.registry.manifest import Architecture, InputKind, PropertyRecord

PER_ATOM = "/atom"
"""How the unit of a property per atom ends."""

NETWORKS: dict[NetworkName, Architecture] = {
    "cgcnn": Architecture.CGCNN,
    "cgcnn-plain": Architecture.CGCNN,
    "schnet-1": Architecture.SCHNET,
    "schnet-2": Architecture.SCHNET,
    "elemnet-17": Architecture.ELEMNET,
}
"""What `scratch` can train; the first of an architecture is the one it trains when none is named."""

_DATA = ("preset", "scaling", "split", "train_fraction", "val_fraction")
_DESCENT = (
    "max_epochs", "patience", "batch_size", "learning_rate", "weight_decay", "optimizer", "schedule", "loss",
    "ema_decay", "kept_weights", "gradient_clip", "precision", "max_seconds",
)  # fmt: skip
_ELEMNET_FEATURES: tuple[FeatureName, ...] = ("elemental_fractions", "physical_attributes")
_SEARCHES = (Method.AUTOML_FRACTIONS, Method.AUTOML_ATTRIBUTES)

_CGCNN_DEFAULT: dict[str, Any] = {
    "preset": "default",
    "max_epochs": 100,
    "patience": 100,
    "batch_size": 32,
    "learning_rate": 3e-3,
    "weight_decay": 1e-2,
    "optimizer": "adamw",
    "schedule": "one_cycle",
    "loss": "mae",
    "scaling": "standard",
    "ema_decay": 0.0,
    "kept_weights": "last",
    "gradient_clip": 1.0,
    "split": "formula",
    "train_fraction": 4 / 6,
    "val_fraction": 1 / 6,
    "frozen_convolutions": 1,
    "hidden_dim": 128,
    "precision": "float32",
    "max_seconds": 86_400.0,
}

_CGCNN_PAPER = _CGCNN_DEFAULT | {
    "preset": "paper",
    "max_epochs": 500,
    "patience": 500,
    "batch_size": 256,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "optimizer": "sgd",
    "schedule": "step",
    "scaling": "tanh",
    "kept_weights": "best",
    "gradient_clip": 0.0,
    "split": "random",
}

_SCHNET_DEFAULT = _CGCNN_DEFAULT | {
    "learning_rate": 2e-3,
    "weight_decay": 1e-4,
    "batch_size": 16,
    "kept_weights": "best",
    "target": "per_atom",
}

_SCHNET_PAPER = _SCHNET_DEFAULT | {
    # The paper names no batch size and no end: SchNetPack's 100, and time for the rate to fall to its lowest.
    "preset": "paper",
    "max_epochs": 1500,
    "patience": 1500,
    "batch_size": 100,
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "optimizer": "adam",
    "schedule": "plateau",
    "loss": "mse",
    "gradient_clip": 0.0,
    "split": "random",
    "target": "total",
}

_ELEMNET_DEFAULT = _CGCNN_DEFAULT | {
    "batch_size": 64,
    "learning_rate": 3e-4,
    "weight_decay": 1e-4,
    "kept_weights": "best",
    "features": "elemental_fractions",
    "layer": "auto",
}

_LARGE_ROWS = 10_000
_ELEMNET_LARGE: dict[str, Any] = {"batch_size": 256, "max_epochs": 50, "patience": 50, "learning_rate": 1e-3}
"""Instead, for so many rows and more: larger batches cost a third per row, and as many steps are fewer epochs."""
_ELEMNET_LARGE_TRANSFER: dict[str, Any] = {"max_epochs": 30, "patience": 30, "learning_rate": 4e-4}
"""The same where the network starts with the source's weights."""

_ELEMNET_PAPER = _ELEMNET_DEFAULT | {
    # The paper says how rows are split and that the loss is the MAE; the rest is from Jha 2018, which it builds on.
    "preset": "paper",
    "max_epochs": 1000,
    "patience": 200,
    "batch_size": 32,
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "optimizer": "adam",
    "schedule": "constant",
    "gradient_clip": 0.0,
    "split": "random",
    "train_fraction": 0.81,
    "val_fraction": 0.09,
}

_BASELINE_DEFAULT: dict[str, Any] = {
    "preset": "default",
    "scaling": "standard",
    "split": "formula",
    "train_fraction": 4 / 6,
    "val_fraction": 1 / 6,
    "n_folds": 5,
    "n_trials": 60,
    "max_seconds": 900.0,
}
_BASELINE_PAPER = _BASELINE_DEFAULT | {"preset": "paper", "split": "random"}

_AUTO: dict[str, Any] = {
    "split": "formula",
    "train_fraction": 4 / 6,
    "val_fraction": 1 / 6,
    "n_folds": 5,
    "max_seconds": 900.0,
}

_PRESETS: dict[Architecture, dict[str, dict[str, Any]]] = {
    Architecture.CGCNN: {"default": _CGCNN_DEFAULT, "paper": _CGCNN_PAPER},
    Architecture.SCHNET: {"default": _SCHNET_DEFAULT, "paper": _SCHNET_PAPER},
    Architecture.ELEMNET: {"default": _ELEMNET_DEFAULT, "paper": _ELEMNET_PAPER},
    Architecture.ELEMNET_REPRESENTATION: {"default": _ELEMNET_DEFAULT, "paper": _ELEMNET_PAPER},
    Architecture.BASELINE: {"default": _BASELINE_DEFAULT, "paper": _BASELINE_PAPER},
    Architecture.ENSEMBLE: {"default": _AUTO, "paper": _AUTO},
}


def chosen_architecture(
    method: Method, data: InputKind, base: Architecture | None, given: Hyperparameters
) -> Architecture:
    """Of the model that the method makes of such data, from a base model where it needs one.

    Raises InvalidJob naming the methods (or networks) that fit, where these do not.
    """
    if base is not None:
        return architecture_from(method, base)
    info = method_info(method)
    fitting = [each for each in info.architectures if data in info.data_kinds(each)]
    if not fitting:
        raise InvalidJob(
            f"Method {method.value!r} does not train on data of a {data}. On offer: {named(methods_for_data(data))}."
        )
    if given.features in STRUCTURAL_FEATURES and data is InputKind.COMPOSITION:
        raise InvalidJob(
            f"features {given.features!r} are of crystal structures, but this data set holds compositions. Leave "
            "features out, or upload structures."
        )
    if method is not Method.SCRATCH or given.network is None:
        return fitting[0]
    if NETWORKS[given.network] not in fitting:
        offer = ", ".join(name for name, each in NETWORKS.items() if each in fitting)
        raise InvalidJob(f"Network {given.network!r} does not read a {data}. Networks that do: {offer}.")
    return NETWORKS[given.network]


def resolve_hyperparameters(
    architecture: Architecture, method: Method, given: Hyperparameters, n_rows: int, *, is_same_property: bool = False
) -> Hyperparameters:
    """Every field that the method uses: what was given, else the preset's value; None in the others.

    `is_same_property`: the base model predicts what is to be learned, so its output layer goes on.
    Raises InvalidJob for contradictions, and for a field that was given and has no effect.
    """
    info = method_info(method)
    if architecture not in info.architectures:
        offer = named(each.name for each in METHODS if architecture in each.architectures)
        raise InvalidJob(f"Method {method.value!r} is not offered for {architecture.value} models. On offer: {offer}.")
    used = fields_used(architecture, method)
    wanted = {name: value for name, value in given.model_dump().items() if value is not None}
    if unused := [name for name in wanted if name not in used]:
        raise InvalidJob(f"Method {method.value!r} does not use {', '.join(unused)}. It uses {', '.join(used)}.")
    preset = given.preset or "default"
    values = _PRESETS[architecture][preset] | _for_method(
        architecture, method, preset, is_same_property=is_same_property
    )
    values |= _for_size(architecture, method, preset, n_rows) | wanted
    if values.get("schedule") != "one_cycle" and "kept_weights" not in wanted:
        # Only at the end of that one the weights have come to rest.
        values |= {"kept_weights": "best"}
    chosen = {name: values[name] for name in used}
    _require_network(architecture, chosen)
    _require_features(info, chosen)
    if chosen["train_fraction"] + chosen["val_fraction"] >= 1:
        raise InvalidJob("train_fraction and val_fraction must leave rows for the test set: their sum must be below 1.")
    if "batch_size" in chosen and chosen["batch_size"] > n_rows * chosen["train_fraction"]:
        chosen["batch_size"] = max(2, int(n_rows * chosen["train_fraction"]) // 2)
    return Hyperparameters.model_validate(chosen)


def fields_used(architecture: Architecture, method: Method) -> list[str]:
    """Names of the hyperparameters that have an effect."""
    if architecture is Architecture.BASELINE:
        features = ("features",) if method_info(method).baseline_features else ()
        return [*_DATA, *features, "n_folds", *(("n_trials", "max_seconds") if method in _SEARCHES else ())]
    if architecture is Architecture.ENSEMBLE:
        return ["split", "train_fraction", "val_fraction", "n_folds", "max_seconds"]
    used = [*_DATA, *_DESCENT]
    if method is Method.SCRATCH:
        used += ["network"] + (["features"] if architecture is Architecture.ELEMNET else [])
    if architecture is Architecture.CGCNN:
        used += ["hidden_dim"] + (["frozen_convolutions"] if method is Method.FREEZE_EARLY else [])
    if architecture is Architecture.SCHNET:
        used += ["target"]
    if architecture is Architecture.ELEMNET_REPRESENTATION:
        used += ["layer"]
    return used


def require_fitting_target(chosen: Hyperparameters, target: PropertyRecord) -> None:
    """Raises InvalidJob where totals are to be learned of a property that is not per atom."""
    if chosen.target == "total" and not target.unit.endswith(PER_ATOM):
        raise InvalidJob(
            f"target 'total' is for properties per atom, but {target.key} is in {target.unit}: use 'per_atom', which "
            "learns from the labels as they are."
        )


def _require_network(architecture: Architecture, chosen: dict[str, Any]) -> None:
    if "network" in chosen and NETWORKS[chosen["network"]] is not architecture:
        raise InvalidJob(f"Network {chosen['network']!r} is no {architecture.value} network.")


def _require_features(info: MethodInfo, chosen: dict[str, Any]) -> None:
    readable = info.baseline_features or _ELEMNET_FEATURES
    if "features" in chosen and chosen["features"] not in readable:
        raise InvalidJob(
            f"Method {info.name.value!r} does not read features {chosen['features']!r}. It reads {', '.join(readable)}."
        )


def _for_method(
    architecture: Architecture, method: Method, preset: str, *, is_same_property: bool = False
) -> dict[str, Any]:
    """What a method changes: transfer may want another learning rate and, in the CGCNN paper, a narrower last layer."""
    if readable := method_info(method).baseline_features:
        return {"features": readable[0]}
    if method is Method.SCRATCH:
        return {"network": next(name for name, each in NETWORKS.items() if each is architecture)}
    if preset == "paper":
        return {"learning_rate": 0.005, "hidden_dim": 64} if architecture is Architecture.CGCNN else {}
    rates: dict[Method, float] = _TRANSFER_RATES.get(architecture, {})
    if is_same_property:
        rates = rates | _SAME_PROPERTY_RATES.get(architecture, {})
    return {"learning_rate": rates[method]} if method in rates else {}


def _for_size(architecture: Architecture, method: Method, preset: str, n_rows: int) -> dict[str, Any]:
    """What many rows change."""
    is_elemnet = architecture in (Architecture.ELEMNET, Architecture.ELEMNET_REPRESENTATION)
    if not is_elemnet or preset == "paper" or n_rows < _LARGE_ROWS:
        return {}
    if method in (Method.FINE_TUNE, Method.TLRL_RELU, Method.TLRL_DENSE):
        return _ELEMNET_LARGE | _ELEMNET_LARGE_TRANSFER
    return _ELEMNET_LARGE | ({"learning_rate": 1e-2} if method is Method.FREEZE else {})


# CGCNN keeps the rate of training from nothing: a third of it did not unlearn what another property taught. So does a
# fine-tuned ElemNet, on mixed evidence: better from formation energies to gaps, no better from gaps (README).
_TRANSFER_RATES: dict[Architecture, dict[Method, float]] = {
    Architecture.SCHNET: {Method.TL1: 2e-3, Method.TL2: 2e-3, Method.TL3: 1e-2},
    Architecture.ELEMNET: {Method.FREEZE: 3e-3},
    Architecture.ELEMNET_REPRESENTATION: {Method.TLRL_RELU: 1e-4, Method.TLRL_DENSE: 1e-4},
}
_SAME_PROPERTY_RATES: dict[Architecture, dict[Method, float]] = {
    Architecture.CGCNN: {Method.FINE_TUNE: 1e-3, Method.FREEZE_EARLY: 1e-3},
    Architecture.SCHNET: {Method.TL1: 3e-4, Method.TL2: 3e-4, Method.TL3: 5e-3},
    Architecture.ELEMNET: {Method.FINE_TUNE: 1e-4},
}
"""Where the output layer goes on, little is to be changed: higher rates lose what it knows."""
