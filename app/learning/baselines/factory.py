"""Fitted baselines by the settings that manifests hold."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from torch import nn

from app.learning.baselines.forest_model import ForestModel, ForestSettings
from app.learning.baselines.kernel_models import (
    RbfKernelModel,
    RbfKernelSettings,
    SoapKernelModel,
    SoapKernelSettings,
)
from app.learning.baselines.linear_model import LinearModel, LinearSettings

BaselineSettings = Annotated[
    LinearSettings | RbfKernelSettings | SoapKernelSettings | ForestSettings, Field(discriminator="kind")
]
BaselineModel = LinearModel | RbfKernelModel | SoapKernelModel | ForestModel

_SETTINGS: TypeAdapter[BaselineSettings] = TypeAdapter(BaselineSettings)


def read_settings(settings: dict[str, Any]) -> BaselineSettings:
    """Raises pydantic.ValidationError for settings it does not know."""
    return _SETTINGS.validate_python(settings)


def build_baseline(settings: dict[str, Any]) -> BaselineModel:
    """A module with empty buffers, to load a state into. Raises pydantic.ValidationError."""
    known = read_settings(settings)
    if isinstance(known, LinearSettings):
        return LinearModel(known)
    if isinstance(known, RbfKernelSettings):
        return RbfKernelModel(known)
    if isinstance(known, SoapKernelSettings):
        return SoapKernelModel(known)
    return ForestModel(known)


def is_baseline(network: nn.Module) -> bool:
    """Whether a network is one of these: fitted in one go, nothing in it for gradient descent to train."""
    return isinstance(network, BaselineModel)
