"""What a CGCNN learns of structures without labels: noise, hidden elements, and nothing of the rows held out."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load
from torch import nn

from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.networks.denoising import Denoiser
from app.learning.pretext import STAGE
from app.learning.pretraining import pretrain
from app.learning.recipes import RECIPES
from app.learning.training.loop import TrainingEvent
from app.learning.training_job import TrainedModel
from app.registry.card import render_card
from app.structures.elements import MAX_ATOMIC_NUMBER
from tests.crystals import rocksalt
from tests.datasets.tables import cif_of

RECIPE = RECIPES["cgcnn-denoising/1"]
SALTS = [(a, x) for a in ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba") for x in ("F", "Cl", "Br", "O", "S")]


def batch_of(n: int) -> GraphBatch:
    crystals = [rocksalt(4.5 + 0.05 * i, *SALTS[i]) for i in range(n)]
    return GraphBatch.collate([build_crystal_graph(crystal, GraphSettings()) for crystal in crystals])


def denoiser(spread: float = 0.1, hidden_share: float = 0.2) -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(Cgcnn(CgcnnSettings(atom_feature_dim=16, activation="silu")), spread, hidden_share)


def test_who_answers_0_misses_the_mean_of_a_normal_distribution() -> None:
    model = denoiser()
    output = model.noise[-1]
    assert isinstance(output, nn.Linear)
    nn.init.zeros_(output.weight)
    nn.init.zeros_(output.bias)
    batch = batch_of(30)
    with torch.inference_mode():
        errors = torch.cat([model.guess(batch).noise_errors for _ in range(40)])
    assert errors.mean().item() == pytest.approx(math.sqrt(2 / math.pi), rel=0.03)


def test_the_loss_of_a_crystal_is_that_of_its_own_edges_and_hidden_atoms() -> None:
    model, batch = denoiser(hidden_share=0.4).eval(), batch_of(6)
    with torch.inference_mode():
        torch.manual_seed(1)
        given = model(batch)
        torch.manual_seed(1)
        added = torch.randn_like(batch.distances)
        hidden = torch.rand_like(batch.node_weights) < 0.4
        assert 0 < int(hidden.sum()) < len(hidden)
        start = model.network.embedded(batch).clone()
        start[hidden] = model.hidden_element
        noisy = replace(batch, distances=batch.distances + model.spread * added)
        nodes, radial = model.network.convolved(start, noisy)
        found = model.noise(torch.cat((nodes[batch.centre], nodes[batch.neighbour], radial), dim=1))[:, 0]
        logs = torch.log_softmax(model.elements(nodes), dim=1)
        for i in range(6):
            edges, own = batch.crystal_index[batch.centre] == i, batch.crystal_index == i
            of_noise = (found - added)[edges].abs().mean()
            of_elements = -sum(logs[n, batch.atomic_numbers[n]] for n in range(len(hidden)) if own[n] and hidden[n])
            by_hand = of_noise + 0.2 * of_elements / (0.4 * int(own.sum()))
            assert given[i].item() == pytest.approx(float(by_hand), abs=1e-5)


def test_a_hidden_element_is_not_told() -> None:
    """Two crystals that differ in hidden elements only look the same."""
    model = denoiser(hidden_share=1.0).eval()
    pair = GraphBatch.collate([build_crystal_graph(rocksalt(5.0, "Na", x), GraphSettings()) for x in ("Cl", "F")])
    with torch.inference_mode():
        start = torch.where(torch.ones(4, 1, dtype=torch.bool), model.hidden_element, model.network.embedded(pair))
        nodes, _ = model.network.convolved(start, pair)
        logits = model.guess(pair).elements
    assert torch.allclose(nodes[:2], nodes[2:], atol=1e-6)
    assert logits.shape == (4, MAX_ATOMIC_NUMBER + 1)


def test_it_learns_which_lengths_and_elements_go_together() -> None:
    model, batch = denoiser(), batch_of(30)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    noise, named = [], []
    for _ in range(200):
        optimizer.zero_grad()
        model(batch).mean().backward()
        optimizer.step()
        with torch.inference_mode():
            guesses = model.guess(batch)
        noise.append(guesses.noise_errors.mean().item())
        named.append((guesses.elements.argmax(1) == batch.atomic_numbers)[guesses.hidden].float().mean().item())
    assert np.mean(noise[-10:]) < 0.6 < 0.75 < np.mean(noise[:3])
    assert np.mean(named[-10:]) > 0.3 > np.mean(named[:3])


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit")
    cifs = [cif_of(rocksalt(4.5 + 0.03 * i, *salt)) for i, salt in enumerate(SALTS)]
    labels = [-2.0 + 0.02 * i for i in range(len(SALTS))]
    pq.write_table(pa.table({"cif": cifs, RECIPE.label_column: labels}), folder / RECIPE.file)
    return folder


OVERRIDES = Hyperparameters(max_epochs=3, batch_size=8, train_fraction=0.6, val_fraction=0.2)


def trained(kit: Path, work: Path) -> tuple[TrainedModel, list[TrainingEvent]]:
    events: list[TrainingEvent] = []
    model = pretrain(RECIPE, kit, work, work, 0, OVERRIDES, "cpu", "xtalforge", events.append, lambda *_: None)
    return model, events


@pytest.fixture(scope="module")
def first(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, list[TrainingEvent], Path]:
    """A model, what was told of its training, and the folder it was trained in."""
    work = tmp_path_factory.mktemp("work")
    return *trained(kit, work), work


def test_labels_train_only_what_follows_the_representation(
    first: tuple[TrainedModel, list[TrainingEvent], Path],
) -> None:
    model, events, work = first
    assert [event.stage for event in events] == [STAGE] * 3 + [""] * 3
    learned = model.manifest.training.pretext
    assert learned is not None and RECIPE.pretext is not None
    assert (learned.epochs, learned.spread, learned.hidden_share) == (3, RECIPE.pretext.spread, 0.15)
    assert 0 < learned.noise_missed < 1 and 0 <= learned.elements_found <= 1
    assert learned.n_train == model.manifest.training.n_train
    assert (model.manifest.training.method, model.manifest.parent) == ("freeze", None)
    state = load((work / "runs/cgcnn-denoising-1-seed0/pretext/training_state.safetensors").read_bytes())
    weights = load(model.weights)
    represents = [name for name in weights if name.startswith(("embedding.", "convolutions."))]
    assert represents
    for name in represents:
        assert torch.equal(weights[name], state[f"best/network.{name}"]), name
    assert not torch.equal(weights["hidden.0.weight"], state["best/network.hidden.0.weight"])
    assert f"tell noise of {learned.spread:g} Å" in render_card(model.manifest)


def test_interrupted_it_goes_on_with_the_same_result(
    kit: Path, first: tuple[TrainedModel, list[TrainingEvent], Path], tmp_path: Path
) -> None:
    shutil.copytree(first[2] / "graphs", tmp_path / "graphs")

    def stop(event: TrainingEvent) -> None:
        if (event.stage, event.epoch) == (STAGE, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(RECIPE, kit, tmp_path, tmp_path, 0, OVERRIDES, "cpu", "xtalforge", stop, lambda *_: None)
    again, events = trained(kit, tmp_path)
    assert again.weights == first[0].weights
    assert events[0].epoch > 1, "it did not begin anew"
    missed = [model.manifest.training.pretext for model in (first[0], again)]
    assert missed[0] and missed[1] and missed[0].noise_missed == missed[1].noise_missed


def test_held_out_rows_do_not_train_it(
    kit: Path, first: tuple[TrainedModel, list[TrainingEvent], Path], tmp_path: Path
) -> None:
    """Other lengths in the test rows change nothing."""
    before = first[0]
    table = pq.read_table(kit / RECIPE.file)
    cifs = table.column("cif").to_pylist()
    held_out = set(before.test_formulas)
    changed = [
        cif_of(rocksalt(6.9, *salt)) if "".join(sorted(salt)) in {f.replace("1", "") for f in held_out} else cif
        for cif, salt in zip(cifs, SALTS, strict=True)
    ]
    assert changed != cifs
    pq.write_table(table.set_column(0, "cif", pa.array(changed)), tmp_path / RECIPE.file)
    # In the folder of the first: a state of other structures is not gone on from.
    shutil.copytree(first[2] / "runs", tmp_path / "work" / "runs")
    after, events = trained(tmp_path, tmp_path / "work")
    assert [event.epoch for event in events] == [1, 2, 3] * 2
    assert after.weights == before.weights
    assert not np.array_equal(after.test_predictions, before.test_predictions)
