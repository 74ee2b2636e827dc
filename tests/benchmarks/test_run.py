"""The comparison itself with this package only, on structures made in code; and the weights it shares with a peer."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from app.learning.graphs.settings import GraphSettings
from app.learning.samples import make_samples
from app.structures.reader import read_structures
from benchmarks.harness import ROOT, Row
from benchmarks.peers.bench import OURS
from benchmarks.peers.inputs import Inputs, prepare
from benchmarks.peers.weights import original_names, seeded_network

N_TRAIN, N_PREDICT, LARGEST_CELL = 12, 8, 10


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def inputs(cache: Path) -> Inputs:
    return prepare(cache, N_TRAIN, N_PREDICT, None, LARGEST_CELL)


def test_all_inputs_can_be_read_and_symmetry_changes_nothing_but_the_text(inputs: Inputs) -> None:
    crystals = {}
    for kind, n in (("p1", N_TRAIN), ("symmetrised", N_PREDICT), ("size_10", 4)):
        results = [
            r for path in sorted(Path(inputs.set(kind)).glob("*.cif")) for r in read_structures(path.read_text())
        ]
        assert [result.error for result in results] == [None] * n
        crystals[kind] = [result.crystal for result in results if result.crystal is not None]
    for listed, symmetrised in zip(crystals["p1"], crystals["symmetrised"], strict=False):
        assert listed.reduced_formula == symmetrised.reduced_formula
    assert {crystal.n_sites for crystal in crystals["size_10"]} == {10}


def test_inputs_are_the_same_for_everybody(inputs: Inputs, tmp_path: Path) -> None:
    again = prepare(tmp_path, 6, 3, None, 5)
    for number in range(6):
        name = f"p1/{number:04d}.cif"
        assert (again.folder / name).read_text() == (inputs.folder / name).read_text()


def test_the_original_matrix_is_ours_side_by_side(inputs: Inputs) -> None:
    """One convolution by the original code's formula, on a real graph: `fc_full` of the concatenated features."""
    network = seeded_network()
    theirs = original_names(network.state_dict())
    crystal = read_structures((inputs.folder / "p1" / "0001.cif").read_text())[0].crystal
    assert crystal is not None
    samples, _ = make_samples([crystal], GraphSettings(merge_equivalent=False))
    batch = samples.batch(np.arange(1), torch.device("cpu"))
    assert not isinstance(batch, torch.Tensor)
    with torch.inference_mode():
        nodes = network.embedding(network.element_table)[batch.atomic_numbers]
        radial = network.radial(batch.distances)
        joined = torch.cat([nodes[batch.centre], nodes[batch.neighbour], radial], dim=1)
        z = joined @ theirs["convs.0.fc_full.weight"].T + theirs["convs.0.fc_full.bias"]
        gate, core = network.convolutions[0].norm_message(z).chunk(2, dim=1)
        message = torch.sigmoid(gate) * torch.nn.functional.softplus(core) * batch.edge_weights[:, None]
        total = torch.zeros_like(nodes).index_add(0, batch.centre, message)
        expected = torch.nn.functional.softplus(nodes + network.convolutions[0].norm_update(total))
        found = network.convolutions[0](nodes, radial, batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.proof
@pytest.mark.parametrize(("part", "heading"), [("inference", "## Inference"), ("training", "## Training")])
def test_one_command_measures_and_reports_without_any_peer(
    inputs: Inputs, cache: Path, tmp_path: Path, part: str, heading: str
) -> None:
    command = [sys.executable, "-m", "benchmarks.peers.run", "--quick", "--no-peers", "--data-kit", ""]
    command += ["--only", part, "--output", str(tmp_path), "--cache", str(cache)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((tmp_path / f"{part}.json").read_text())
    rows = [Row.from_json(data) for data in result["rows"]]
    ours = [row for row in rows if row.contender.startswith(OURS) and row.unit]
    assert ours and all(row.rounds and min(row.rounds) > 0 and not row.why_missing for row in ours)
    assert not any("refused" in row.extra for row in ours)
    assert {row.why_missing for row in rows if row not in ours and row.unit} == {"left out (--no-peers)"}
    assert str(tmp_path) not in json.dumps(result) and str(cache) not in json.dumps(result)
    report = (tmp_path / "speed.md").read_text()
    assert heading in report and "left out (--no-peers)" in report


def test_merging_atoms_leaves_the_predictions(inputs: Inputs) -> None:
    network = seeded_network()
    crystals = [
        result.crystal
        for path in sorted(Path(inputs.set("p1")).glob("*.cif"))[:N_PREDICT]
        for result in read_structures(path.read_text())
    ]
    values = []
    for merge in (True, False):
        samples, _ = make_samples([c for c in crystals if c is not None], GraphSettings(merge_equivalent=merge))
        with torch.inference_mode():
            values.append(network(samples.batch(np.arange(len(samples)), torch.device("cpu"))).numpy())
    assert np.abs(values[0] - values[1]).max() < 1e-4 * max(1.0, float(np.abs(values[0]).max()))
