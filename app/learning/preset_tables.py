"""Settings of the papers and better ones, as data. Importable without torch."""

from typing import Any

from app.learning.methods import Method
from app.registry.manifest import Architecture

_CGCNN_DEFAULT: dict[str, Any] = {
    "preset": "default",
    "max_epochs": 100,
    "patience": 100,
    "batch_size": 32,
    "learning_rate": 3e-3,
    "weight_decay": 1e-2,
    "optimizer": "adamw",
    "schedule": "one_cycle",
    "rate_decay": 0.1,
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
    "members": 1,
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

LARGE_ROWS = 10_000
ELEMNET_LARGE: dict[str, Any] = {"batch_size": 256, "max_epochs": 50, "patience": 50, "learning_rate": 1e-3}
"""Instead, for so many rows and more: larger batches cost a third per row, and as many steps are fewer epochs."""
ELEMNET_LARGE_TRANSFER: dict[str, Any] = {"max_epochs": 30, "patience": 30, "learning_rate": 4e-4}
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

YOUNGER: dict[str, Any] = {"members": 1, "rate_decay": 0.1}
"""Hyperparameters that came when there were trainings to go on with, and what those did."""

PRESETS: dict[Architecture, dict[str, dict[str, Any]]] = {
    Architecture.CGCNN: {"default": _CGCNN_DEFAULT, "paper": _CGCNN_PAPER},
    Architecture.SCHNET: {"default": _SCHNET_DEFAULT, "paper": _SCHNET_PAPER},
    Architecture.ELEMNET: {"default": _ELEMNET_DEFAULT, "paper": _ELEMNET_PAPER},
    Architecture.ELEMNET_REPRESENTATION: {"default": _ELEMNET_DEFAULT, "paper": _ELEMNET_PAPER},
    Architecture.BASELINE: {"default": _BASELINE_DEFAULT, "paper": _BASELINE_PAPER},
    Architecture.ENSEMBLE: {"default": _AUTO, "paper": _AUTO},
}

# CGCNN keeps the rate of training from nothing: a third of it did not unlearn what another property taught. So does a
# fine-tuned ElemNet, on mixed evidence: better from formation energies to gaps, no better from gaps (README).
TRANSFER_RATES: dict[Architecture, dict[Method, float]] = {
    Architecture.SCHNET: {Method.TL1: 2e-3, Method.TL2: 2e-3, Method.TL3: 1e-2},
    Architecture.ELEMNET: {Method.FREEZE: 3e-3},
    Architecture.ELEMNET_REPRESENTATION: {Method.TLRL_RELU: 1e-4, Method.TLRL_DENSE: 1e-4},
}
SAME_PROPERTY_RATES: dict[Architecture, dict[Method, float]] = {
    Architecture.CGCNN: {Method.FINE_TUNE: 1e-3, Method.FREEZE_EARLY: 1e-3},
    Architecture.SCHNET: {Method.TL1: 3e-4, Method.TL2: 3e-4, Method.TL3: 5e-3},
    Architecture.ELEMNET: {Method.FINE_TUNE: 1e-4},
}
"""Where the output layer goes on, little is to be changed: higher rates lose what it knows."""
