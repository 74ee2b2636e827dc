"""Metrics against values counted by hand."""

import numpy as np
import pytest

from app.learning.evaluation import CHEMICAL_ACCURACY, share_within


def test_the_share_within_chemical_accuracy() -> None:
    labels = np.array([0.0, 1.0, -2.0, 5.0])
    predictions = labels + np.array([0.043, -0.044, 0.0, 1.0])
    assert share_within(labels, predictions, CHEMICAL_ACCURACY) == 0.5
    assert share_within(labels, predictions, 2.0) == 1.0


def test_chemical_accuracy_is_one_kcal_per_mol() -> None:
    joules_per_kcal, avogadro, charge = 4184.0, 6.02214076e23, 1.602176634e-19
    assert pytest.approx(joules_per_kcal / avogadro / charge, rel=1e-6) == CHEMICAL_ACCURACY
