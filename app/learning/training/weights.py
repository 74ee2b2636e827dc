"""Weights while they are trained: which of them change, their moving average, copies of them."""

from torch import Tensor, nn


def set_training_mode(network: nn.Module) -> None:
    """Training mode, but frozen parts stay in evaluation mode: their batch statistics are the base model's."""
    network.train()
    for module in network.modules():
        own = list(module.parameters())
        if own and not any(p.requires_grad for p in own):
            module.eval()


def update_average(average: dict[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average of weights; early steps average over what there is. Buffers are copied."""
    current = network.state_dict()
    if not average:
        average.update(copied(current))
        return
    keep = min(decay, (1.0 + step) / (10.0 + step))
    parameters = {name for name, _ in network.named_parameters()}
    for name, value in current.items():
        if name in parameters:
            average[name].lerp_(value.detach(), 1.0 - keep)
        else:
            average[name].copy_(value)


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}
