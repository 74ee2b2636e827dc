"""Representation learning with the layer chosen on the validation rows (Gupta et al. 2024, II-C)."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from app.learning.networks.elemnet import ElemNetSettings
from app.learning.strategies.descent import starting_network, target_map_of, train_network
from app.learning.strategies.run import Fitted, Run
from app.learning.training.loop import FitResult, TrainingEvent
from app.learning.training.plan import TrainingPlan

LAYERS = (1, 2, 3, 4)
"""Hidden layers of the source that are tried."""


def fit_best_layer(run: Run) -> Fitted:
    """Train a network on each of the layers, keep the one with the lowest validation error; of equals the first.

    Each has its state in a folder of its own, so an interrupted run goes on with the layer it was at. Raises what
    `fit_network` raises.
    """
    assert run.base is not None
    n_hidden = len(ElemNetSettings.model_validate(run.base[0].network).widths)
    layers = [layer for layer in LAYERS if layer <= n_hidden]
    plan = TrainingPlan.of(run.spec.hyperparameters, run.spec.seed)
    plan = replace(plan, max_seconds=plan.max_seconds / len(layers))
    best: tuple[nn.Module, FitResult] | None = None
    errors: dict[int, float] = {}
    earlier_s = 0.0
    for index, layer in enumerate(layers):
        network = starting_network(run, run.spec.hyperparameters.model_copy(update={"layer": layer}))
        earlier_best = float("inf") if best is None else best[1].best_val_mae
        report = _counted_on(run.on_event, layer, index * plan.max_epochs, len(layers) * plan.max_epochs, earlier_best)
        name = f"layer-{layer}"
        result = train_network(run, network, plan, run.work_dir / name, f"{run.run_key}/{name}", report)
        errors[layer] = result.best_val_error
        earlier_s += result.earlier_s
        if best is None or result.best_val_error < best[1].best_val_error:
            best = network, result
    assert best is not None
    network, result = best
    chosen = min(errors, key=lambda layer: errors[layer])
    return Fitted(
        network,
        target_map_of(run),
        run.split,
        result.best_epoch,
        result.epochs,
        earlier_s,
        result.history,
        {"layer": chosen, "validation_errors": {f"layer {layer}": error for layer, error in errors.items()}},
    )


def _counted_on(
    on_event: Callable[[TrainingEvent], None], layer: int, done: int, total: int, earlier_best: float
) -> Callable[[TrainingEvent], None]:
    """Events of one of several trainings, its epochs counted on from those before it."""

    def report(event: TrainingEvent) -> None:
        best = min(event.best_val_mae, earlier_best)
        on_event(replace(event, epoch=done + event.epoch, max_epochs=total, best_val_mae=best, stage=f"layer {layer}"))

    return report
