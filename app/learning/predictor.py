"""A checkpoint that answers: featurise on the CPU, run on the device, back to physical units."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from app.core.errors import InvalidInput, XtalforgeError
from app.learning.checkpoints import load_network
from app.learning.device import torch_device
from app.learning.embedding import Embeddings, embedded_outputs
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.networks.factory import inference_form
from app.learning.representations import representation_of
from app.learning.samples import GraphBuilder, ModelInput, Samples, make_samples
from app.learning.targets import TargetMap
from app.learning.training.loop import predict_outputs
from app.registry.manifest import Manifest

FloatArray = npt.NDArray[np.float64]


class NotANumber(InvalidInput):
    code, title = "no_finite_prediction", "The model gives no finite value"


class Predictor:
    """One loaded model. Safe to use from several threads: nothing in it changes after construction."""

    def __init__(self, manifest: Manifest, network: nn.Module, device: torch.device) -> None:
        self.manifest = manifest
        self.network = inference_form(network)
        self.device = device
        self.representation = representation_of(manifest)
        self.target_map = TargetMap(manifest.property.transform, manifest.scaling)

    @classmethod
    def from_bytes(cls, manifest: Manifest, weights: bytes, device: str = "cpu") -> "Predictor":
        """Raises ArtifactCorrupt when weights and manifest do not belong together, or the manifest is broken."""
        where = torch_device(device)
        return cls(manifest, load_network(manifest, weights, where), where)

    def featurise(
        self, items: Sequence[ModelInput], build: GraphBuilder = build_crystal_graph
    ) -> tuple[Samples, list[XtalforgeError | None]]:
        """Samples of the items that can be featurised, and the error (or None) of each item."""
        return make_samples(items, self.representation, build)

    def forward(self, samples: Samples) -> FloatArray:
        """Predictions in the property's unit, (B,)."""
        return self.target_map.to_physical(predict_outputs(self.network, samples, self.device))

    def forward_embedded(self, samples: Samples) -> tuple[FloatArray, Embeddings]:
        """Predictions in the property's unit (B,), and feature vectors (B, F), from one pass."""
        outputs, embeddings = embedded_outputs(self.network, samples, self.device)
        return self.target_map.to_physical(outputs), embeddings

    def embed(
        self, items: Sequence[ModelInput], build: GraphBuilder = build_crystal_graph
    ) -> tuple[Embeddings, list[XtalforgeError | None]]:
        """Feature vectors (B, F) of the items that can be featurised, in order, and the error (or None) of each item.

        What they are for each architecture: `app.learning.networks.embeddings`. (0, 0) when there are none.
        """
        samples, errors = self.featurise(items, build)
        return embedded_outputs(self.network, samples, self.device)[1], errors

    def predict(
        self, items: Sequence[ModelInput], build: GraphBuilder = build_crystal_graph
    ) -> list[float | XtalforgeError]:
        """One value in the property's unit, or the reason why there is none, per item, in order."""
        samples, errors = self.featurise(items, build)
        values = iter(self.forward(samples).tolist())
        answers: list[float | XtalforgeError] = []
        for error in errors:
            if error is not None:
                answers.append(error)
                continue
            value = next(values)
            finite = np.isfinite(value)
            answers.append(value if finite else NotANumber("The model gives no finite value for this input."))
        return answers
