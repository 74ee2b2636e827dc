"""Classical baselines, fitted in one go to training and validation rows together."""

import numpy as np
import torch

from app.learning.baselines.fitting import SearchBudget, described, fit_baseline
from app.learning.baselines.methods import Baseline
from app.learning.baselines.search import Watch
from app.learning.representations import Described
from app.learning.samples import VectorSamples
from app.learning.splits import Split
from app.learning.strategies.run import Fitted, Run, SearchEvent
from app.learning.targets import TargetMap


def fit_classical(run: Run) -> Fitted:
    """Choose hyperparameters by cross-validation and fit to all rows that are not for the test.

    Folds take the place of the validation rows; they hold out whole formulas unless the split is random. An
    interrupted run starts over. Raises InvalidJob, TrainingStopped.
    """
    spec, chosen = run.spec, run.spec.hyperparameters
    assert chosen.scaling and chosen.n_folds and isinstance(run.representation, Described)
    rows = np.union1d(run.split.train, run.split.val)
    labels = run.prepared.labels[rows]
    target_map = TargetMap.fit(labels, spec.property.transform, chosen.scaling)
    samples = run.prepared.samples.take(rows)
    assert isinstance(samples, VectorSamples)
    usual = SearchBudget()
    budget = SearchBudget(
        n_folds=chosen.n_folds,
        n_trials=chosen.n_trials or usual.n_trials,
        max_seconds=chosen.max_seconds or usual.max_seconds,
        n_threads=torch.get_num_threads(),
    )
    fitted = fit_baseline(
        Baseline(spec.method.value),
        samples.features,
        target_map.to_network(labels),
        spec.seed,
        None if chosen.split == "random" else [run.prepared.keys[row] for row in rows],
        run.representation.soap,
        budget,
        Watch(lambda done, total, text: run.on_search(SearchEvent(done, total, text)), run.should_stop),
        run.representation.descriptor,
    )
    return Fitted(
        fitted.model.to(run.device),
        target_map,
        Split(rows, rows[:0], run.split.test),
        search=described(fitted),
        software=fitted.software,
        held_out_errors=fitted.held_out_errors,
    )
