"""Hyperparameters filled in, from a preset. Importable without torch."""

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
from app.learning.preset_tables import (
    ELEMNET_LARGE,
    ELEMNET_LARGE_TRANSFER,
    LARGE_ROWS,
    PRESETS,
    SAME_PROPERTY_RATES,
    TRANSFER_RATES,
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
    "max_epochs", "patience", "batch_size", "learning_rate", "weight_decay", "optimizer", "schedule", "rate_decay",
    "loss", "ema_decay", "kept_weights", "gradient_clip", "members", "precision", "max_seconds",
)  # fmt: skip
_ELEMNET_FEATURES: tuple[FeatureName, ...] = ("elemental_fractions", "physical_attributes")
_SEARCHES = (Method.AUTOML_FRACTIONS, Method.AUTOML_ATTRIBUTES)


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
    values = PRESETS[architecture][preset] | _for_method(
        architecture, method, preset, is_same_property=is_same_property
    )
    values |= _for_size(architecture, method, preset, n_rows) | wanted
    if values.get("schedule") != "one_cycle" and "kept_weights" not in wanted:
        # Only at the end of that one the weights have come to rest.
        values |= {"kept_weights": "best"}
    chosen = {name: values[name] for name in used}
    _require_network(architecture, chosen)
    _require_features(info, chosen)
    _require_averageable(chosen)
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


def _require_averageable(chosen: dict[str, Any]) -> None:
    if chosen.get("members", 1) == 1:
        return
    if chosen["scaling"] == "tanh":
        raise InvalidJob("members above 1 are averaged, which scaling 'tanh' does not allow: use 'standard'.")
    if chosen.get("layer") == "auto":
        raise InvalidJob("members above 1 have one layer, which layer 'auto' would choose for each: name the layer.")


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
    rates: dict[Method, float] = TRANSFER_RATES.get(architecture, {})
    if is_same_property:
        rates = rates | SAME_PROPERTY_RATES.get(architecture, {})
    return {"learning_rate": rates[method]} if method in rates else {}


def _for_size(architecture: Architecture, method: Method, preset: str, n_rows: int) -> dict[str, Any]:
    """What many rows change."""
    is_elemnet = architecture in (Architecture.ELEMNET, Architecture.ELEMNET_REPRESENTATION)
    if not is_elemnet or preset == "paper" or n_rows < LARGE_ROWS:
        return {}
    if method in (Method.FINE_TUNE, Method.TLRL_RELU, Method.TLRL_DENSE):
        return ELEMNET_LARGE | ELEMNET_LARGE_TRANSFER
    return ELEMNET_LARGE | ({"learning_rate": 1e-2} if method is Method.FREEZE else {})
