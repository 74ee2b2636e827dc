"""Transforms and scalings are inverse to themselves; eq. 6 of Lee & Asahi is what it says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.learning.evaluation import split_metrics
from app.learning.targets import TargetMap
from app.properties.catalogue import Transform
from app.registry.manifest import TargetScaling

labels = st.lists(st.floats(0.01, 1000.0), min_size=3, max_size=30).map(np.array)


@pytest.mark.parametrize("kind", ["none", "standard", "tanh"])
@pytest.mark.parametrize("transform", list(Transform))
@given(values=labels)
def test_there_and_back(kind: str, transform: Transform, values: np.ndarray) -> None:
    target_map = TargetMap.fit(values, transform, kind)
    np.testing.assert_allclose(target_map.to_physical(target_map.to_network(values)), values, rtol=1e-6)


def test_tanh_is_equation_six() -> None:
    target_map = TargetMap(Transform.IDENTITY, TargetScaling(kind="tanh", mean=2.0, std=0.5))
    assert target_map.to_network(np.array([3.0]))[0] == pytest.approx((math.tanh(0.01 * (3.0 - 2.0) / 0.5) + 1) / 2)


@pytest.mark.parametrize("kind", ["standard", "tanh"])
def test_training_labels_are_learned_with_unit_spread(kind: str) -> None:
    values = np.random.default_rng(0).lognormal(3, 1, 500)
    scaled = TargetMap.fit(values, Transform.LOG10, kind).to_network(values)
    assert (scaled.mean(), scaled.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))


def test_log10_refuses_what_has_no_logarithm() -> None:
    with pytest.raises(ValueError, match="positive"):
        TargetMap.fit(np.array([1.0, 0.0]), Transform.LOG10, "standard")


@pytest.mark.parametrize("kind", ["standard", "tanh"])
def test_constant_labels_do_not_divide_by_zero(kind: str) -> None:
    target_map = TargetMap.fit(np.full(5, 7.0), Transform.IDENTITY, kind)
    assert target_map.to_physical(np.zeros(2)) == pytest.approx([7.0, 7.0])


def test_metrics_are_in_the_propertys_unit() -> None:
    metrics = split_metrics(np.array([10.0, 100.0]), np.array([20.0, 100.0]), Transform.LOG10)
    assert (metrics.mae, metrics.max_error, metrics.mad) == (5.0, 10.0, 45.0)
    assert metrics.mae_transformed == pytest.approx(math.log10(2) / 2)
    assert metrics.rmse == pytest.approx(math.sqrt(50))
