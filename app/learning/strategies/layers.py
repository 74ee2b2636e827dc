"""Representation learning with the layer chosen on the validation rows (Gupta et al. 2024, II-C)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from app.learning.networks.elemnet import ElemNetSettings
from app.learning.strategies.descent import starting_network, target_map_of, train_network
from app.learning.strategies.run import Fitted, Run
from app.learning.training.loop import FitResult, TrainingEvent
from app.learning.training.plan import TrainingPlan

LAYERS = (1, 2, 3, 4)
"""Hidden layers of the source that are tried."""
_SHORTER = 10
"""How many times shorter the trainings are that compare layers, where the schedule makes a short one worth a whole."""


def fit_best_layer(run: Run) -> Fitted:
    """Train a network on each of the layers, keep the one with the lowest validation error; of equals the first.

    With a schedule that ends low at any length, short trainings choose the layer and a whole one follows on it. Each
    has its state in a folder of its own, so an interrupted run goes on with the one it was at. Raises what
    `fit_network` raises.
    """
    assert run.base is not None
    n_hidden = len(ElemNetSettings.model_validate(run.base[0].network).widths)
    layers = [layer for layer in LAYERS if layer <= n_hidden]
    plan = TrainingPlan.of(run.spec.hyperparameters, run.spec.seed)
    compares_short = plan.schedule == "one_cycle"
    short = max(1, plan.max_epochs // _SHORTER) if compares_short else plan.max_epochs
    epochs = [short] * len(layers) + ([plan.max_epochs] if compares_short else [])
    trainings = _Trainings(run, plan, sum(epochs))
    found = {layer: trainings.train(layer, short, f"layer-{layer}") for layer in layers}
    errors = {layer: result.best_val_error for layer, (_, result) in found.items()}
    chosen = min(errors, key=lambda layer: errors[layer])
    network, result = trainings.train(chosen, plan.max_epochs, "chosen") if compares_short else found[chosen]
    return Fitted(
        network,
        target_map_of(run),
        run.split,
        result.best_epoch,
        result.epochs,
        trainings.earlier_s,
        result.history,
        {
            "layer": chosen,
            "epochs": short,
            "validation_errors": {f"layer {layer}": error for layer, error in errors.items()},
        },
    )


@dataclass
class _Trainings:
    """Of one run, one after the other; `total` epochs together. `earlier_s` were spent before this attempt."""

    run: Run
    plan: TrainingPlan
    total: int
    done: int = 0
    earlier_s: float = 0.0

    def train(self, layer: int, epochs: int, name: str) -> tuple[nn.Module, FitResult]:
        run = self.run
        seconds = self.plan.max_seconds * epochs / self.total
        plan = replace(self.plan, max_epochs=epochs, max_seconds=seconds)
        network = starting_network(run, run.spec.hyperparameters.model_copy(update={"layer": layer}))
        report = self._counted_on(f"layer {layer}")
        result = train_network(run, network, plan, run.work_dir / name, f"{run.run_key}/{name}", report)
        self.done += epochs
        self.earlier_s += result.earlier_s
        return network, result

    def _counted_on(self, stage: str) -> Callable[[TrainingEvent], None]:
        """Events of one of several trainings, its epochs counted on from those before it."""
        done = self.done

        def report(event: TrainingEvent) -> None:
            self.run.on_event(replace(event, epoch=done + event.epoch, max_epochs=self.total, stage=stage))

        return report
