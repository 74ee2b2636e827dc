"""What a network learns of structures before it sees a label: see `app.learning.networks.denoising`."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.learning.checkpoints import network_to_bytes, weights_digest
from app.learning.device import flushed_denormals, keep_freed_memory, torch_device
from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.networks.cgcnn import Cgcnn
from app.learning.networks.denoising import Denoiser
from app.learning.networks.factory import build_network
from app.learning.outputs import EVALUATION_COST, evaluation_batches
from app.learning.presets import resolve_hyperparameters
from app.learning.recipes import Pretext, Recipe
from app.learning.samples import Samples
from app.learning.splits import IntArray, Split
from app.learning.tables import PreparedTable
from app.learning.targets import TargetMap
from app.learning.training.loop import LabelledSamples, Trainer, TrainingEvent
from app.learning.training.plan import TrainingPlan
from app.learning.transfer import Base
from app.properties.catalogue import Transform, get_property
from app.registry.manifest import (
    Architecture,
    InputKind,
    Manifest,
    Metrics,
    PretextRecord,
    PropertyRecord,
    TargetScaling,
    TrainingRecord,
)

STAGE = "without labels"
"""Of the events of this training."""


def learn_unlabelled(
    recipe: Recipe,
    pretext: Pretext,
    prepared: PreparedTable,
    split: Split,
    seed: int,
    dataset_sha256: str,
    work_dir: Path,
    on_event: Callable[[TrainingEvent], None],
    device: str,
) -> tuple[Base, PretextRecord]:
    """A CGCNN whose representation knows structures and whose answers mean nothing yet, as a base model.

    Only rows that train later train here; those of validation tell how well it guesses. Interrupted, it goes on where
    it was. Raises TrainingDiverged.
    """
    chosen = resolve_hyperparameters(recipe.architecture, Method.SCRATCH, pretext.hyperparameters, len(prepared.labels))
    torch.manual_seed(seed)
    network = build_network(recipe.architecture, recipe.network)
    assert isinstance(network, Cgcnn)
    where = torch_device(device)
    if where.type == "cpu":
        keep_freed_memory()
    denoiser = Denoiser(network, pretext.spread, pretext.hidden_share)
    trainer = Trainer(
        denoiser,
        TrainingPlan.of(chosen, seed),
        TargetMap(Transform.IDENTITY, TargetScaling(kind="none")),
        _unlabelled(prepared, split.train),
        _unlabelled(prepared, split.val),
        work_dir,
        _key(recipe, pretext, prepared, split, chosen, seed, dataset_sha256),
        where,
    )
    with flushed_denormals():
        result = trainer.fit(lambda event: on_event(replace(event, stage=STAGE)), lambda: False)
        trainer.save()
        noise_missed, elements_found = _guessed(denoiser, prepared.samples.take(split.val), where, seed)
    record = PretextRecord(
        spread=pretext.spread,
        hidden_share=pretext.hidden_share,
        n_train=len(split.train),
        hyperparameters=chosen.model_dump(mode="json", exclude_none=True),
        epochs=result.epochs,
        noise_missed=noise_missed,
        elements_found=elements_found,
        wall_s=round(result.elapsed_s, 1),
    )
    return _as_base(recipe, network.cpu(), prepared), record


def _unlabelled(prepared: PreparedTable, rows: IntArray) -> LabelledSamples:
    """What the network gives is its own error, which shall be 0."""
    return LabelledSamples(prepared.samples.take(rows), np.zeros(len(rows)))


@torch.inference_mode()
def _guessed(denoiser: Denoiser, samples: Samples, device: torch.device, seed: int) -> tuple[float, float]:
    """Mean error of the noise over all edges, and the share of the hidden elements that were named."""
    torch.manual_seed(seed)
    denoiser.eval()
    errors: list[Tensor] = []
    named: list[Tensor] = []
    for rows in evaluation_batches(samples, EVALUATION_COST[device.type]):
        batch = samples.batch(rows, device)
        assert isinstance(batch, GraphBatch)
        noise_errors, hidden, logits = denoiser.guess(batch)
        errors.append(noise_errors)
        named.append((logits.argmax(dim=1) == batch.atomic_numbers)[hidden].float())
    return float(torch.cat(errors).mean()), float(torch.cat(named).mean())


def _key(
    recipe: Recipe, pretext: Pretext, prepared: PreparedTable, split: Split, chosen: Hyperparameters, seed: int,
    dataset_sha256: str,
) -> str:  # fmt: skip
    keys = "\n".join(prepared.keys[row] for row in split.train)
    described = [
        pretext.spread, pretext.hidden_share, recipe.network, chosen.model_dump(mode="json"), seed, dataset_sha256,
        hashlib.sha256(keys.encode()).hexdigest(),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _as_base(recipe: Recipe, network: Cgcnn, prepared: PreparedTable) -> Base:
    weights = network_to_bytes(network)
    manifest = Manifest(
        name=recipe.name,
        architecture=Architecture.CGCNN,
        input_kind=InputKind.STRUCTURE,
        property=PropertyRecord.of(get_property(recipe.property_key)),
        network=network.settings.model_dump(mode="json"),
        graph=GraphSettings().model_dump(mode="json"),
        scaling=TargetScaling(kind="none"),
        elements=list(prepared.elements),
        metrics=Metrics(),
        training=TrainingRecord(
            method=STAGE, dataset=recipe.dataset, split="", n_train=0, n_val=0, n_test=0, seed=None,
            hyperparameters={}, best_epoch=0, epochs=0,
        ),
        weights_sha256=weights_digest(weights),
    )  # fmt: skip
    return manifest, weights
