"""Levers of transfer learning do to the weights what they say, and the report compares equal seeds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.learning.graphs.settings import GraphSettings
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.samples import make_samples
from app.learning.targets import TargetMap
from app.learning.training.loop import LabelledSamples
from app.properties.catalogue import Transform
from benchmarks.transfer_levers_report import report
from benchmarks.transfer_levers_training import LeverTrainer, Training, blocks
from tests.crystals import rocksalt
from tests.learning.test_stacked_training import plan_of

RATE = 0.125


def changed_blocks(training: Training, epochs: int, folder: Path) -> list[bool]:
    """Of a network of five blocks, from the input to the output: which of them training has changed."""
    torch.manual_seed(0)
    network = Cgcnn(CgcnnSettings(atom_feature_dim=8, hidden_dim=8, n_conv=2))
    before = [[p.detach().clone() for p in part.parameters()] for part in blocks(network)]
    samples, _ = make_samples([rocksalt(4.0 + 0.1 * i, "Na", "Cl") for i in range(12)], GraphSettings())
    labels = np.linspace(1.0, 2.0, 12)
    rows = LabelledSamples(samples, labels)
    plan = plan_of(0, max_epochs=epochs, schedule="constant", learning_rate=RATE, kept_weights="last")
    target_map = TargetMap.fit(labels, Transform.IDENTITY, "standard")
    trainer = LeverTrainer(network, plan, target_map, rows, rows, folder, "key", torch.device("cpu"))
    trainer.use(training)
    trainer.fit(lambda _: None, lambda: False)
    return [
        any(not torch.equal(a, b) for a, b in zip(part.parameters(), old, strict=True))
        for part, old in zip(blocks(network), before, strict=True)
    ]


@pytest.mark.parametrize(
    ("training", "epochs", "changed"),
    [
        (Training(), 1, [True] * 5),
        # Every block below the output has the rate 0.
        (Training(rate_factor=0.0), 2, [False, False, False, False, True]),
        # Rate times pull is 1: each step leads all the way back.
        (Training(pull=1.0 / RATE), 2, [False, False, False, False, True]),
        (Training(epochs_per_block=1), 1, [False, False, False, False, True]),
        (Training(epochs_per_block=1), 3, [False, False, True, True, True]),
    ],
)
def test_levers_change_what_they_say(training: Training, epochs: int, changed: list[bool], tmp_path: Path) -> None:
    assert changed_blocks(training, epochs, tmp_path) == changed


def test_cycles_start_at_the_full_rate(tmp_path: Path) -> None:
    network = Cgcnn(CgcnnSettings(atom_feature_dim=8, hidden_dim=8, n_conv=2))
    samples, _ = make_samples([rocksalt(4.0 + 0.1 * i, "Na", "Cl") for i in range(12)], GraphSettings())
    rows = LabelledSamples(samples, np.linspace(1.0, 2.0, 12))
    target_map = TargetMap.fit(rows.labels, Transform.IDENTITY, "standard")
    plan = plan_of(0, max_epochs=20, batch_size=12, learning_rate=RATE)
    trainer = LeverTrainer(network, plan, target_map, rows, rows, tmp_path, "key", torch.device("cpu"))
    trainer.use(Training(cycles=2))
    rates = [trainer._rate(step) for step in range(20)]
    np.testing.assert_allclose([rates[0], rates[5], rates[10], rates[15]], [RATE, RATE / 2, RATE, RATE / 2])
    assert rates[9] < 0.03 * RATE


def test_the_report_pairs_seeds() -> None:
    def line(lever: str, seed: int, mae: float) -> dict[str, object]:
        return {
            "target": "k_vrh", "lever": lever, "seed": seed, "mae": mae, "val_mae": mae, "n_test": 9, "seconds": 1.0,
            "note": "", "date": "2026-01-01T00:00+00:00",
        }  # fmt: skip

    lines = [line("fine_tune", seed, 0.1 + 0.01 * seed) for seed in range(3)]
    lines += [line("best epoch", seed, 0.09 + 0.015 * seed) for seed in (1, 2)]
    lines += [line("scratch", seed, 0.2) for seed in (1, 2)]
    (row,) = [text for text in report(lines).splitlines() if text.startswith("| best epoch |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # Seeds 1 and 2: 0.105 and 0.12 against 0.11 and 0.12 of fine_tune.
    assert cells[2:4] == ["2", "0.1125 ± 0.0106"]
    assert cells[4].startswith("-2.2 % (p = ")
    assert cells[5].startswith("-43.8 %")
