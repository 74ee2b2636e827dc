"""Checkpoints of the original CGCNN code (github txie-93/cgcnn, Xie & Grossman 2018), read without running anything.

Such a `.pth.tar` is a pickle. torch's weights-only reader makes tensors and plain Python values of it and calls nothing
that it names; what is read is checked against the network before it is used.
"""

import io
import math
import pickle
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.core.errors import InvalidInput
from app.learning.graphs.settings import GraphSettings
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.networks.element_features import N_ELEMENT_FEATURES
from app.registry.manifest import TargetScaling

ORIGINAL_GRAPH = GraphSettings(cutoff=8.0, n_neighbours=12, ties="strict", merge_equivalent=False)
"""The graph that the original code makes with its default arguments."""

_RADIAL_STEP = 0.2
_EXPECTED_ARGUMENTS = {"radius": 8, "max_num_nbr": 12, "dmin": 0, "step": _RADIAL_STEP, "enable_tanh": False}
"""Arguments of the code and of its descendants that change the network's input or its layers; most files lack them."""

_LAYERS = {"conv_to_fc": "hidden.0", "fc_out": "output", "embedding": "embedding"}
_NORMS = {"bn1": "norm_message", "bn2": "norm_update"}
_COUNTER = "num_batches_tracked"
_FORBIDDEN_NAME = re.compile(r"GLOBAL (\S+)")


class CheckpointRefused(InvalidInput):
    code, title = "checkpoint_refused", "The checkpoint cannot be imported"


@dataclass(frozen=True, slots=True)
class OriginalCheckpoint:
    """A regression network of the original code.

    `scaling` is the file's normaliser, on the scale the labels had; `arguments` are those of the training command;
    `validation_mae`, on the labels' scale too, belongs to the weights of `epoch`.
    """

    network: Cgcnn
    scaling: TargetScaling
    arguments: Mapping[str, Any]
    epoch: int
    validation_mae: float | None


def read_checkpoint(content: bytes) -> OriginalCheckpoint:
    """The network of a `.pth.tar` file. Raises CheckpointRefused with the reason."""
    document = _load(content)
    state, arguments, normalizer = (_dictionary(document, name) for name in ("state_dict", "args", "normalizer"))
    _refuse_other_tasks(arguments)
    network = _network(_tensors(state, len(content)))
    mean, std = (_number(normalizer.get(name)) for name in ("mean", "std"))
    if mean is None or not std:
        raise CheckpointRefused("Its normalizer has no finite mean and standard deviation.")
    epoch = document.get("epoch")
    return OriginalCheckpoint(
        network=network,
        scaling=TargetScaling(kind="standard", mean=mean, std=std),
        arguments=arguments,
        epoch=epoch if isinstance(epoch, int) else 0,
        validation_mae=_number(document.get("best_mae_error")),
    )


def _dictionary(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    if not isinstance(found, dict):
        raise CheckpointRefused(f"It is no checkpoint of the CGCNN code: it has no dictionary {name}.")
    return found


def _load(content: bytes) -> dict[str, Any]:
    """What the file holds, in tensors, numbers, strings and containers."""
    with torch.serialization.safe_globals(_STAND_INS):
        try:
            document = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            named = _FORBIDDEN_NAME.search(str(error))
            reason = f"it names {named[1]}, which is no plain data" if named else "it is damaged or no checkpoint"
            raise CheckpointRefused(f"It cannot be read as plain tensors and values: {reason}.") from error
        except Exception as error:
            # A damaged file fails anywhere in the reader.
            raise CheckpointRefused("It cannot be read: it is damaged, or no checkpoint of torch.") from error
    if not isinstance(document, dict):
        raise CheckpointRefused("It is no checkpoint of the CGCNN code: it holds no dictionary.")
    return document


class _NumpyType:
    """Stands in for `numpy.dtype` in files that hold a NumPy number: keeps its code, makes no NumPy object."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.byte_order = "="

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.byte_order = ">" if state[1] == ">" else "<"


def _numpy_scalar(of: _NumpyType, raw: bytes) -> float:
    """Stands in for NumPy's maker of numbers from bytes. Raises for all but floats and integers of 4 or 8 bytes."""
    code = {"f4": "f", "f8": "d", "i4": "i", "i8": "q"}[of.code]
    return float(struct.unpack(of.byte_order + code, raw)[0])


_STAND_INS: list[Any] = [
    (_NumpyType, "numpy.dtype"),
    (_numpy_scalar, "numpy.core.multiarray.scalar"),
    (_numpy_scalar, "numpy._core.multiarray.scalar"),
]


def _refuse_other_tasks(arguments: Mapping[str, Any]) -> None:
    if arguments.get("task", "regression") != "regression":
        raise CheckpointRefused(
            f"It was trained for {str(arguments['task'])[:40]}: it tells classes apart, such as metals from "
            "semiconductors. Models here predict quantities with a unit."
        )
    for name, expected in _EXPECTED_ARGUMENTS.items():
        if arguments.get(name, expected) != expected:
            raise CheckpointRefused(
                f"It was trained with {name} = {str(arguments[name])[:40]}; only {expected}, the default of the "
                "original code, can be imported."
            )


def _tensors(state: Mapping[Any, Any], n_bytes: int) -> dict[str, Tensor]:
    """The weights as float32. Views that claim more numbers than the file has bytes for are refused unexpanded."""
    weights = {str(name): value for name, value in state.items() if not str(name).endswith(_COUNTER)}
    total = 0
    for name, value in weights.items():
        if not isinstance(value, Tensor) or value.layout != torch.strided or not value.is_floating_point():
            raise CheckpointRefused(f"Its {name[:80]} is no array of floating-point numbers.")
        total += value.numel() * value.element_size()
        if total > n_bytes:
            raise CheckpointRefused(f"Its {name[:80]} claims more numbers than the file holds.")
    weights = {name: value.to(torch.float32).contiguous() for name, value in weights.items()}
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise CheckpointRefused(f"Its {name} holds numbers that are not finite.")
    return weights


def _network(weights: Mapping[str, Tensor]) -> Cgcnn:
    settings = _settings({name: tuple(value.shape) for name, value in weights.items()})
    renamed: dict[str, Tensor] = {}
    for name, value in weights.items():
        renamed |= _renamed(name, value, settings.atom_feature_dim)
    # Shapes first, without memory: they come from the file.
    with torch.device("meta"):
        blueprint = Cgcnn(settings).state_dict()
    for name, value in blueprint.items():
        if name.endswith(_COUNTER):
            renamed[name] = torch.zeros((), dtype=torch.int64)
        elif name not in renamed:
            raise CheckpointRefused(f"Its weights are not those of a CGCNN: what becomes {name} here is missing.")
        elif renamed[name].shape != value.shape:
            found, expected = (" × ".join(map(str, shape)) for shape in (renamed[name].shape, value.shape))
            raise CheckpointRefused(f"What becomes {name} here has the shape {found} instead of {expected}.")
    network = Cgcnn(settings)
    network.load_state_dict(renamed)
    return network.eval()


def _settings(shapes: Mapping[str, tuple[int, ...]]) -> CgcnnSettings:
    """The network's widths, read off the shapes of its layers."""
    n_radial = round(ORIGINAL_GRAPH.cutoff / _RADIAL_STEP) + 1
    names = ("embedding.weight", "convs.0.fc_full.weight", "conv_to_fc.weight", "fc_out.weight")
    for name in names:
        if len(shapes.get(name, ())) != 2:
            raise CheckpointRefused(f"Its weights are not those of a CGCNN: there is no matrix {name}.")
    (width, n_features), (_, n_joined), (hidden_dim, _), (n_out, _) = (shapes[name] for name in names)
    for what, found, expected in (
        ("numbers an element (the network needs the table atom_init.json)", n_features, N_ELEMENT_FEATURES),
        ("Gaussians a distance", n_joined - 2 * width, n_radial),
        ("numbers at the output", n_out, 1),
    ):
        if found != expected:
            raise CheckpointRefused(f"It has {found} {what}; only {expected} can be imported.")
    return CgcnnSettings(
        atom_feature_dim=width,
        n_conv=sum(name.endswith(".fc_full.weight") for name in shapes),
        hidden_dim=hidden_dim,
        n_hidden=1 + sum(name.startswith("fcs.") and name.endswith(".weight") for name in shapes),
        activation="softplus",
        cutoff=ORIGINAL_GRAPH.cutoff,
        radial_step=_RADIAL_STEP,
    )


def _renamed(name: str, value: Tensor, width: int) -> dict[str, Tensor]:
    """A tensor of the original network under its name here; `fc_full` acts on centre, neighbour and edge together."""
    match name.split("."):
        case ["convs", index, "fc_full", "weight"]:
            columns = (value[:, :width], value[:, width : 2 * width], value[:, 2 * width :])
            parts = zip(("centre", "neighbour", "edge"), columns, strict=True)
            return {f"convolutions.{index}.{part}.weight": column.contiguous() for part, column in parts}
        case ["convs", index, "fc_full", "bias"]:
            return {f"convolutions.{index}.centre.bias": value}
        case ["convs", index, "bn1" | "bn2" as norm, kind]:
            return {f"convolutions.{index}.{_NORMS[norm]}.{kind}": value}
        case ["fcs", index, kind] if index.isdecimal():
            return {f"hidden.{int(index) + 1}.{kind}": value}
        case [layer, kind] if layer in _LAYERS:
            return {f"{_LAYERS[layer]}.{kind}": value}
    raise CheckpointRefused(f"Its {name[:80]} is no part of the CGCNN of the original code.")


def _number(value: object) -> float | None:
    """A finite number, from a file's number or tensor of one number."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
