"""An estimator in the manner of scikit-learn: `fit` trains a model on the server. Needs `scikit-learn`."""

import json
from collections.abc import Sequence
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from xtalforge_client._sync.client import Client
from xtalforge_client.errors import InputsFailed, UnusableInput
from xtalforge_client.materials import Material, named_inputs

Floats = npt.NDArray[np.float64]


class XtalforgeRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Transfer learning on a server, from structures or compositions `X` and labels `y`.

    `fit` uploads X and y as a data set and runs a fine-tuning job to its end; the version it made answers `predict`.
    The server keeps some rows for validation and testing: their errors are in `job_.result.metrics`. Refitting makes a
    further version of the same model.

    `property` is a key of the API, or one of your own with `unit` (and `transform`). The server is that of `url`, else
    of the environment (XTALFORGE_URL); the key always comes from the environment (XTALFORGE_API_KEY), so that it never
    shows in a printed estimator.
    """

    def __init__(
        self,
        property: str = "formation_energy_per_atom",
        model_name: str = "sklearn-model",
        *,
        url: str | None = None,
        base_model: str = "auto",
        method: str = "fine_tune",
        hyperparameters: dict[str, Any] | None = None,
        unit: str | None = None,
        transform: Literal["identity", "log10"] | None = None,
        interval_level: float = 0.9,
        seed: int = 0,
        timeout_s: float | None = None,
        progress: bool = False,
    ) -> None:
        self.property = property
        self.model_name = model_name
        self.url = url
        self.base_model = base_model
        self.method = method
        self.hyperparameters = hyperparameters
        self.unit = unit
        self.transform = transform
        self.interval_level = interval_level
        self.seed = seed
        self.timeout_s = timeout_s
        self.progress = progress

    def fit(self, X: Sequence[Material], y: npt.ArrayLike) -> Self:  # noqa: N803
        """Train. Raises JobFailed, JobTimeout, ServerError; UnusableInput for what is no structure or composition.

        Sets `job_`, `dataset_`, `model_` (NAME/VERSION) and `unit_`.
        """
        rows = _rows(X, y, self.property)
        with Client(self.url) as client:
            self.dataset_ = client.datasets.create(
                (f"{self.model_name}.jsonl", rows), self.property, name=self.model_name, unit=self.unit,
                transform=self.transform,
            )  # fmt: skip
            job = client.fine_tuning.create(
                self.dataset_.id, self.model_name, base_model=self.base_model, method=self.method,
                hyperparameters=self.hyperparameters, seed=self.seed,
            )  # fmt: skip
            self.job_ = client.fine_tuning.wait(job.id, timeout_s=self.timeout_s, progress=self.progress)
        if self.job_.result is None:
            raise AssertionError("a job that succeeded has a result")
        self.model_ = f"{self.job_.result.model}/{self.job_.result.version}"
        self.unit_ = self.job_.unit
        return self

    @overload
    def predict(self, X: Sequence[Material], return_interval: Literal[False] = False) -> Floats: ...  # noqa: N803

    @overload
    def predict(self, X: Sequence[Material], return_interval: Literal[True]) -> tuple[Floats, Floats]: ...  # noqa: N803

    def predict(self, X: Sequence[Material], return_interval: bool = False) -> Floats | tuple[Floats, Floats]:  # noqa: N803
        """Values [n], in `unit_`; with `return_interval` also the ends of their intervals [n, 2], NaN without one.

        Raises InputsFailed when any has no value.
        """
        check_is_fitted(self)
        inputs = [{"id": str(place), **_one(material, place)} for place, material in enumerate(X)]
        if not inputs:
            return (np.empty(0), np.empty((0, 2))) if return_interval else np.empty(0)
        with Client(self.url) as client:
            answer = client.predict(
                inputs, models=[self.model_], interval_level=self.interval_level, progress=self.progress
            )
        if answer.errors:
            raise InputsFailed(answer.errors)
        values = np.array([each.value for each in answer.predictions])
        if not return_interval:
            return values
        ends = [each.interval for each in answer.predictions]
        return values, np.array([(end.lower, end.upper) if end else (np.nan, np.nan) for end in ends])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.non_deterministic = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.regressor_tags.poor_score = True
        return tags


def _rows(materials: Sequence[Material], labels: npt.ArrayLike, key: str) -> bytes:
    targets = np.asarray(labels, dtype=np.float64)
    if targets.ndim != 1 or len(targets) != len(materials):
        raise ValueError(f"X has {len(materials)} rows; y must be as many numbers, its shape is {targets.shape}")
    if not np.isfinite(targets).all():
        raise ValueError("y holds NaN or infinity: leave those rows out")
    rows = [
        {"id": str(place), **_one(material, place), key: float(label)}
        for place, (material, label) in enumerate(zip(materials, targets, strict=True))
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


def _one(material: Material, place: int) -> dict[str, Any]:
    inputs = named_inputs([material])
    if len(inputs) != 1:
        raise UnusableInput(f"X[{place}] holds {len(inputs)} structures; each row is one.")
    return dict(inputs[0].content)
