"""Rows with what a trained model says of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from app.learning.embedding import embedded_outputs
from app.learning.tables import PreparedTable
from app.learning.targets import TargetMap, apply_transform
from app.learning.trust.places import FloatArray, Floats, IntArray, fractions_of_keys


@dataclass(frozen=True, slots=True)
class AnsweredRows:
    """n rows: feature vectors (n, F), atomic fractions (n, 101), formulas, labels and predictions in the unit (n,).

    `errors` (n,) are absolute, on the scale of the transform.
    """

    embeddings: Floats
    fractions: FloatArray
    keys: Sequence[str]
    labels: FloatArray
    predictions: FloatArray
    errors: FloatArray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: IntArray) -> "AnsweredRows":
        keys = [self.keys[row] for row in rows]
        arrays = (self.labels[rows], self.predictions[rows], self.errors[rows])
        return AnsweredRows(self.embeddings[rows], self.fractions[rows], keys, *arrays)


def answered(
    network: nn.Module, target_map: TargetMap, prepared: PreparedTable, rows: IntArray, device: torch.device
) -> AnsweredRows:
    """The network on rows of a table."""
    outputs, embeddings = embedded_outputs(network, prepared.samples.take(rows), device)
    labels = prepared.labels[rows]
    keys = [prepared.keys[row] for row in rows]
    errors = np.abs(target_map.to_transformed(outputs) - apply_transform(labels, target_map.transform))
    return AnsweredRows(embeddings, fractions_of_keys(keys), keys, labels, target_map.to_physical(outputs), errors)
