"""Where numbers are crunched."""

import torch


def torch_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises RuntimeError for `cuda` without one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
