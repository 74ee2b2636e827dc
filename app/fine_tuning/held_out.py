"""Rows that a training held out, with what the model says of them: the dots of a parity plot."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

FloatArray = npt.NDArray[np.float64]

MAX_HELD_OUT = 1000
"""As many as a plot can show; the metrics beside it are of all."""


class HeldOutRow(BaseModel):
    """One row of the test split."""

    formula: str = Field(description="Reduced, in alphabetical order.", examples=["O3SrTi"])
    label: float = Field(description="As uploaded, in the property's unit.", examples=[101.0])
    prediction: float = Field(description="In the property's unit.", examples=[96.4])


def shown_rows(formulas: Sequence[str], labels: FloatArray, predictions: FloatArray) -> list[HeldOutRow]:
    """At most MAX_HELD_OUT of n rows, evenly over the range of their labels; arrays (n,) in the property's unit."""
    order = np.argsort(labels, kind="stable")
    if len(order) > MAX_HELD_OUT:
        order = order[np.linspace(0, len(order) - 1, MAX_HELD_OUT).round().astype(np.int64)]
    return [
        HeldOutRow(formula=formulas[row], label=float(labels[row]), prediction=float(f"{predictions[row]:.6g}"))
        for row in order.tolist()
    ]
