"""Where numbers are crunched."""

import torch


def torch_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises RuntimeError for `cuda` without one."""
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not has_cuda:
        raise RuntimeError("the device is set to cuda, but PyTorch finds no CUDA device here: set it to auto or cpu")
    return device
