"""LogME is the largest evidence of a linear model, and orders features as they explain the labels."""

from itertools import product

import numpy as np
import pytest

from benchmarks.transferability import log_evidence, logme, report


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(80, 6))


def test_it_is_the_maximum_over_both_precisions(features: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    labels = features @ rng.normal(size=6) + 0.5 * rng.normal(size=80)
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    projected = (left.T @ labels) ** 2
    outside = float(labels @ labels - projected.sum())
    grid = np.logspace(-2, 2, 161)
    best = max(log_evidence(singular**2, projected, outside, 80, 6, *each) / 80 for each in product(grid, grid))
    assert logme(features, labels) == pytest.approx(best, abs=1e-4)


def test_evidence_is_that_of_the_gaussian_of_the_labels(features: np.ndarray) -> None:
    labels = np.random.default_rng(2).normal(size=80)
    alpha, beta = 0.7, 2.5
    covariance = np.eye(80) / beta + features @ features.T / alpha
    expected = -0.5 * (labels @ np.linalg.solve(covariance, labels) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    projected = (left.T @ labels) ** 2
    outside = float(labels @ labels - projected.sum())
    assert log_evidence(singular**2, projected, outside, 80, 6, alpha, beta) == pytest.approx(expected)


def test_features_that_say_more_score_higher(features: np.ndarray) -> None:
    labels = features[:, :3].sum(axis=1) + 0.1 * np.random.default_rng(3).normal(size=80)
    assert logme(features, labels) > logme(features[:, :2], labels) > logme(features[:, 3:], labels)


def test_report_tells_which_estimate_chose_well() -> None:
    sources = {"right": (1.0, 0.3, 0.3, 0.1), "wrong": (0.5, 0.2, 0.4, 0.2)}
    lines = [
        {
            "target": "k_vrh", "seed": 0, "source": name, "logme": logme_, "ridge_mae": ridge, "fold_mae": fold,
            "mae": mae, "estimate_s": 1.0, "fold_s": 9.0, "date": "2026-11-22T12:00",
        }
        for name, (logme_, ridge, fold, mae) in sources.items()
    ]  # fmt: skip
    text = report(lines)
    assert "| k_vrh | 1 | LogME | 1.00 | 1 of 1 | 0.0% | 1.0 |" in text
    assert "| k_vrh | 1 | ridge on embeddings | -1.00 | 0 of 1 | 100.0% | 1.0 |" in text
    assert "| k_vrh | 1 | fine-tuning in one fold | 1.00 | 1 of 1 | 0.0% | 9.0 |" in text
