"""What must not change an intensive prediction: atom order, origin, orientation, supercell, choice of cell, merging."""

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.graphs.settings import GraphSettings
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.networks.cgcnn_inference import InferenceCgcnn
from app.learning.networks.factory import inference_form
from app.structures.crystal import Crystal
from tests.crystals import COMPOUNDS, other_cell, permuted, rotated, supercell, translated
from tests.learning.reference_graph import reference_graph
from tests.learning.strategies import crystals

TOLERANCE = 1e-5


def network(convolution: str, activation: str = "silu") -> nn.Module:
    """Random weights and non-trivial batch statistics."""
    torch.manual_seed(3)
    net = Cgcnn(CgcnnSettings(convolution=convolution, activation=activation, atom_feature_dim=32))
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(GraphBatch.collate([build_crystal_graph(c, GraphSettings()) for c in COMPOUNDS.values()]))
    return net.eval()


NETWORKS = {name: network(name) for name in ("gated", "plain")}
FORMS = {name: (net := network("gated", name), inference_form(net)) for name in ("silu", "softplus")}


def predict(crystal: Crystal, convolution: str, graph: GraphSettings | None = None) -> float:
    with torch.inference_mode():
        batch = GraphBatch.collate([build_crystal_graph(crystal, graph or GraphSettings())])
        return float(NETWORKS[convolution](batch)[0])


CHANGES: dict[str, Callable[[Crystal, int], Crystal]] = {
    "permutation": permuted,
    "rotation": rotated,
    "translation": lambda crystal, seed: translated(crystal, np.random.default_rng(seed).uniform(-2, 2, 3)),
    "supercell": lambda crystal, seed: supercell(crystal, ((2, 1, 1), (1, 2, 2), (3, 1, 1))[seed % 3]),
    "other cell": lambda crystal, seed: other_cell(crystal),
}


@pytest.mark.parametrize("convolution", sorted(NETWORKS))
@pytest.mark.parametrize("change", sorted(CHANGES))
@settings(max_examples=15, deadline=None)
@given(crystal=crystals(), seed=st.integers(0, 1000))
def test_random_crystals(change: str, convolution: str, crystal: Crystal, seed: int) -> None:
    changed = CHANGES[change](crystal, seed)
    assert predict(changed, convolution) == pytest.approx(predict(crystal, convolution), abs=TOLERANCE)


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("name", sorted(COMPOUNDS))
def test_symmetric_crystals_with_many_ties(name: str, change: str) -> None:
    crystal = COMPOUNDS[name]
    changed = CHANGES[change](crystal, 5)
    assert predict(changed, "gated") == pytest.approx(predict(crystal, "gated"), abs=TOLERANCE)


@settings(max_examples=40, deadline=None)
@given(crystal=crystals())
def test_merging_equivalent_atoms_changes_nothing(crystal: Crystal) -> None:
    doubled = supercell(crystal, (1, 2, 1))
    plain = GraphSettings(merge_equivalent=False)
    for convolution in NETWORKS:
        assert predict(doubled, convolution) == pytest.approx(predict(doubled, convolution, plain), abs=TOLERANCE)


def test_different_crystals_differ() -> None:
    values = [predict(crystal, "gated") for crystal in COMPOUNDS.values()]
    assert len({round(v, 7) for v in values}) == len(values)


@pytest.mark.parametrize("activation", ["silu", "softplus"])
@settings(max_examples=40, deadline=None)
@given(several=st.lists(crystals(), min_size=1, max_size=5))
def test_the_fast_path_gives_what_the_plain_one_gives(activation: str, several: list[Crystal]) -> None:
    """Cell list, merged atoms and folded normalisation against all images, one node an atom, nothing folded."""
    network, fast = FORMS[activation]
    with torch.inference_mode():
        plain = network(GraphBatch.collate([reference_graph(c, GraphSettings()) for c in several]))
        quick = fast(GraphBatch.collate([build_crystal_graph(c, GraphSettings()) for c in several]))
    torch.testing.assert_close(quick, plain, atol=TOLERANCE, rtol=0.0)


def test_plain_convolutions_stay_as_they_are() -> None:
    assert inference_form(NETWORKS["plain"]) is NETWORKS["plain"]
    with pytest.raises(ValueError, match="gated"):
        InferenceCgcnn(cast(Cgcnn, NETWORKS["plain"]))
