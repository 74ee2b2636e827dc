"""How much each entrant adds: greedy selection from a library of models (Caruana et al., ICML 2004)."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

N_PICKS = 40
"""Members are picked one by one, again and again: weights are multiples of 1/40."""
MIN_WEIGHT = 0.05
"""What adds less is left out: it would cost more time at each prediction than it is worth."""


def combination_weights(predictions: FloatArray, labels: FloatArray) -> FloatArray:
    """Weights (M,) that sum to 1, by which the mean of `predictions` (n, M) is nearest to `labels` (n,) in MAE.

    Each pick takes the entrant whose addition to the mean lowers the error most; of equals the first.
    """
    n_entrants = predictions.shape[1]
    counts = np.zeros(n_entrants)
    total = np.zeros_like(labels)
    best, best_error = counts, np.inf
    for pick in range(1, N_PICKS + 1):
        errors = np.abs((total[:, None] + predictions) / pick - labels[:, None]).mean(axis=0)
        chosen = int(errors.argmin())
        counts = counts.copy()
        counts[chosen] += 1
        total = total + predictions[:, chosen]
        if errors[chosen] <= best_error:
            best, best_error = counts, float(errors[chosen])
    weights = best / best.sum()
    weights[weights < MIN_WEIGHT] = 0.0
    return np.asarray(weights / weights.sum())


def nested_combination(predictions: FloatArray, labels: FloatArray, fold_of: IntArray) -> FloatArray:
    """Predictions (n,) of the combination for each fold, with weights that the other folds chose."""
    combined = np.zeros_like(labels)
    for fold in np.unique(fold_of):
        held_out = fold_of == fold
        weights = combination_weights(predictions[~held_out], labels[~held_out])
        combined[held_out] = predictions[held_out] @ weights
    return combined
