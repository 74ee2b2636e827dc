"""Ridge regression with the average SOAP kernel (Lee & Asahi 2021, Table S2)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from app.core.errors import InvalidJob
from app.learning.baselines.families import Parameters
from app.learning.baselines.kernel_models import MAX_SUPPORT, SoapKernelModel, SoapKernelSettings
from app.learning.baselines.search import Fold
from app.learning.descriptors.soap import NO_PAIR, SoapSettings

FloatArray = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class SoapProblem:
    """Kernel ridge on the similarities of all rows, (n, n), which are computed once; targets (n,), learned scale."""

    similarities: FloatArray
    targets: FloatArray

    def errors(self, parameters: Parameters, fold: Fold) -> FloatArray:
        train, held_out = fold
        kernel = self.similarities ** parameters["power"]
        weights, offset = _ridge(kernel[np.ix_(train, train)], self.targets[train], parameters["alpha"])
        return np.abs(kernel[np.ix_(held_out, train)] @ weights + offset - self.targets[held_out])


def soap_support(rows: npt.NDArray[np.float32], soap: SoapSettings) -> SoapKernelModel:
    """A model that holds these crystals, (n, P, 1 + block size), and no weights yet. Raises InvalidJob for too many."""
    if rows.shape[0] > MAX_SUPPORT:
        raise InvalidJob(f"{rows.shape[0]} rows: a kernel machine takes at most {MAX_SUPPORT}.")
    settings = SoapKernelSettings(
        soap=soap, n_support=rows.shape[0], n_blocks=int((rows[:, :, 0] != NO_PAIR).sum()), power=1
    )
    model = SoapKernelModel(settings)
    model.keep(torch.from_numpy(rows))
    return model


def similarities(model: SoapKernelModel, rows: npt.NDArray[np.float32]) -> FloatArray:
    """Of crystals with the support of the model, (B, n_support)."""
    parts = torch.split(torch.from_numpy(rows), _ROWS_AT_ONCE)
    return np.concatenate([model.similarity(part).numpy() for part in parts])


def fitted_model(
    model: SoapKernelModel, own_similarities: FloatArray, targets: FloatArray, parameters: Parameters
) -> SoapKernelModel:
    """The model of `soap_support` with kernel exponent and weights."""
    power = int(parameters["power"])
    weights, offset = _ridge(own_similarities**power, targets, parameters["alpha"])
    fitted = SoapKernelModel(model.settings.model_copy(update={"power": power}))
    fitted.load_state_dict(
        model.state_dict()
        | {"weights": torch.from_numpy(weights), "intercept": torch.tensor(offset, dtype=torch.float64)}
    )
    return fitted


def _ridge(kernel: FloatArray, targets: FloatArray, alpha: float) -> tuple[FloatArray, float]:
    """Weights of kernel ridge regression of centred targets, and their mean."""
    from sklearn.kernel_ridge import KernelRidge

    offset = float(targets.mean())
    ridge = KernelRidge(alpha=alpha, kernel="precomputed").fit(kernel, targets - offset)
    return np.asarray(ridge.dual_coef_), offset
