"""A checkpoint that answers: featurise on the CPU, run on the device, back to physical units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from app.core.errors import InvalidInput, XtalforgeError
from app.learning.checkpoints import load_network
from app.learning.device import torch_device
from app.learning.embedding import Embeddings, embedded_outputs
from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.networks.factory import inference_form
from app.learning.networks.schnet import InferenceSchNet
from app.learning.outputs import predict_outputs
from app.learning.representations import representation_of
from app.learning.samples import GraphBuilder, ModelInput, Samples, make_samples
from app.learning.targets import TargetMap, physical_bounds
from app.learning.trust.assessment import Assessment, Trust
from app.learning.trust.file import load_trust
from app.properties.catalogue import Transform
from app.registry.manifest import Architecture, Manifest
from app.structures.elements import SYMBOLS
from app.structures.fractions import fractions_of

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A prediction in the property's unit, and how far it can be trusted; None: the model does not tell."""

    value: float
    assessment: Assessment | None


@dataclass(frozen=True, slots=True)
class Embedded:
    """Features of one input. `atoms` are element, share of the cell's atoms and contribution to the value."""

    vector: list[float]
    atoms: list[tuple[str, float, float]] | None = None


class NoContributions(InvalidInput):
    code, title = "no_contributions", "The model cannot tell what each atom adds"


class NotANumber(InvalidInput):
    code, title = "no_finite_prediction", "The model gives no finite value"


class Predictor:
    """One loaded model. Safe to use from several threads: nothing in it changes after construction."""

    def __init__(
        self, manifest: Manifest, network: nn.Module, device: torch.device, trust: Trust | None = None
    ) -> None:
        self.manifest = manifest
        self.trust = trust
        self.network = inference_form(network)
        self.device = device
        self.representation = representation_of(manifest)
        self.target_map = TargetMap(manifest.property.transform, manifest.scaling)

    @classmethod
    def from_bytes(
        cls, manifest: Manifest, weights: bytes, trust: bytes | None = None, device: str = "cpu"
    ) -> "Predictor":
        """A model; without `trust` it gives values alone, whatever its manifest says.

        Raises ArtifactCorrupt when the files do not belong together, or the manifest is broken.
        """
        where = torch_device(device)
        known = load_trust(manifest, trust) if trust is not None else None
        return cls(manifest, load_network(manifest, weights, where), where, known)

    def featurise(
        self, items: Sequence[ModelInput], build: GraphBuilder = build_crystal_graph
    ) -> tuple[Samples, list[XtalforgeError | None]]:
        """Samples of the items that can be featurised, and the error (or None) of each item."""
        return make_samples(items, self.representation, build)

    def forward(self, samples: Samples) -> FloatArray:
        """Predictions in the property's unit, (B,)."""
        return self.target_map.to_physical(predict_outputs(self.network, samples, self.device))

    def estimate_samples(self, samples: Samples, items: Sequence[ModelInput]) -> list[Estimate | NotANumber]:
        """Of samples made from the items, (B,) each, in order."""
        assessments: Sequence[Assessment | None]
        lower, upper = physical_bounds(self.manifest.property)
        if self.trust is None:
            values = self.forward(samples)
            assessments = [None] * len(values)
        else:
            outputs, embeddings = embedded_outputs(self.network, samples, self.device)
            values = self.target_map.to_physical(outputs)
            assessments = self.trust.assess(embeddings, fractions_of(items), values) if len(values) else []
            lower, upper = self.trust.lower, self.trust.upper
        # A gap of -0.0001 eV is 0, and no value lies outside its own interval.
        values = np.clip(values, lower, upper)
        return [
            Estimate(value, assessment)
            if np.isfinite(value)
            else NotANumber("The model gives no finite value for this input.")
            for value, assessment in zip(values.tolist(), assessments, strict=True)
        ]

    def estimate(
        self, items: Sequence[ModelInput], build: GraphBuilder = build_crystal_graph
    ) -> list[Estimate | XtalforgeError]:
        """One value with what is known of its error, or the reason why there is none, per item, in order."""
        samples, errors = self.featurise(items, build)
        good = [item for item, error in zip(items, errors, strict=True) if error is None]
        found = iter(self.estimate_samples(samples, good))
        return [next(found) if error is None else error for error in errors]

    def embed(
        self, items: Sequence[ModelInput], build: GraphBuilder = build_crystal_graph
    ) -> tuple[Embeddings, list[XtalforgeError | None]]:
        """Feature vectors (B, F) of the items that can be featurised, in order, and the error (or None) of each item.

        What they are for each architecture: `app.learning.networks.embeddings`. (0, 0) when there are none.
        """
        samples, errors = self.featurise(items, build)
        return embedded_outputs(self.network, samples, self.device)[1], errors

    def contributions(
        self, items: Sequence[ModelInput], build: GraphBuilder = build_crystal_graph
    ) -> list[list[tuple[str, float, float]] | XtalforgeError]:
        """Of each item, element, share of the cell's atoms and contribution in the unit, of atoms that see the same.

        Their mean (of a model of whole cells, their sum) is the prediction. Raises NoContributions for a model whose
        answer is no sum over atoms.
        """
        network, scaling = self.network, self.manifest.scaling
        if not isinstance(network, InferenceSchNet):
            why = {
                Architecture.CGCNN: "after the features of the atoms are averaged its layers are not linear, so that",
                Architecture.ENSEMBLE: "it is made of several models, and",
            }.get(self.manifest.architecture, "it reads no atoms one by one, and")
            raise NoContributions(
                f"{self.manifest.name} is no SchNet: {why} no share of the answer belongs to an atom."
            )
        if scaling.kind == "tanh" or self.manifest.property.transform is not Transform.IDENTITY:
            raise NoContributions(f"What {self.manifest.name} adds up is not on the scale of the value.")
        answers: list[list[tuple[str, float, float]] | XtalforgeError] = []
        for item in items:
            samples, (error,) = self.featurise([item], build)
            if error is not None:
                answers.append(error)
                continue
            batch = samples.batch(np.zeros(1, dtype=np.int64), self.device)
            assert isinstance(batch, GraphBatch)
            with torch.inference_mode():
                outputs = network.network.contributions(network.nodes(batch)).double().cpu().numpy()
            shares = batch.node_weights.double().cpu().numpy()
            symbols = [SYMBOLS[number] for number in batch.atomic_numbers.tolist()]
            values = self.target_map.to_transformed(outputs)
            answers.append(list(zip(symbols, shares.tolist(), values.tolist(), strict=True)))
        return answers

    def predict(
        self, items: Sequence[ModelInput], build: GraphBuilder = build_crystal_graph
    ) -> list[float | XtalforgeError]:
        """One value in the property's unit, or the reason why there is none, per item, in order."""
        return [found.value if isinstance(found, Estimate) else found for found in self.estimate(items, build)]
