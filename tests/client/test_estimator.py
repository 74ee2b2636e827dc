"""What scikit-learn asks of every estimator, as far as it does not need X to be numbers."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils import estimator_checks as checks

from xtalforge_client import UnusableInput
from xtalforge_client.sklearn import XtalforgeRegressor

APPLICABLE = (
    checks.check_estimator_cloneable, checks.check_estimator_repr, checks.check_estimator_tags_renamed,
    checks.check_valid_tag_types, checks.check_no_attributes_set_in_init, checks.check_parameters_default_constructible,
    checks.check_get_params_invariance, checks.check_set_params,
    checks.check_mixin_order,
)  # fmt: skip


@pytest.mark.parametrize("check", APPLICABLE, ids=lambda check: check.__name__)
def test_checks_of_scikit_learn(check: Any) -> None:
    check("XtalforgeRegressor", XtalforgeRegressor())


def test_before_fit() -> None:
    with pytest.raises(NotFittedError):
        XtalforgeRegressor().predict(["NaCl"])
    assert is_regressor(XtalforgeRegressor())


def test_it_can_be_searched_over() -> None:
    model = XtalforgeRegressor("k_vrh", method="fine_tune", seed=3)
    assert clone(model).set_params(method="rf").get_params()["method"] == "rf" and model.method == "fine_tune"
    GridSearchCV(model, {"method": ["rf", "fine_tune"]})


@pytest.mark.parametrize("labels", [[1.0], [1.0, math.nan], np.ones((2, 2))], ids=["few", "nan", "two-dimensional"])
def test_labels_that_do_not_fit(labels: Any) -> None:
    with pytest.raises(ValueError, match="y"):
        XtalforgeRegressor().fit(["NaCl", "KCl"], labels)


def test_rows_that_are_no_materials() -> None:
    with pytest.raises(UnusableInput):
        XtalforgeRegressor().fit([3.0, "KCl"], [1.0, 2.0])
