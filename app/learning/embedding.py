"""Answers and feature vectors of a network for any number of samples."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from app.learning.networks.embeddings import outputs_and_embeddings
from app.learning.outputs import EVALUATION_COST, evaluation_batches
from app.learning.samples import Samples

FloatArray = npt.NDArray[np.float64]
Embeddings = npt.NDArray[np.float32]


@torch.inference_mode()
def embedded_outputs(network: nn.Module, samples: Samples, device: torch.device) -> tuple[FloatArray, Embeddings]:
    """Answers on the learned scale (B,) and feature vectors (B, F) of a network in evaluation mode; (0, 0) for none."""
    if network.training:
        network.eval()
    outputs, embeddings = [], []
    for indices in evaluation_batches(samples, EVALUATION_COST[device.type]):
        answers, vectors = outputs_and_embeddings(network, samples.batch(indices, device))
        outputs.append(answers.double().cpu().numpy())
        embeddings.append(vectors.cpu().numpy())
    if not outputs:
        return np.zeros(0), np.zeros((0, 0), dtype=np.float32)
    return np.concatenate(outputs), np.concatenate(embeddings)
