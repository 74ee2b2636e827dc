"""Several models in one checkpoint: the weighted mean of its members, in every form and after every way it goes."""

import json
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import nn

from app.learning.baselines.families import Family, export
from app.learning.baselines.search import VectorProblem
from app.learning.checkpoints import network_to_bytes, weights_digest
from app.learning.descriptors.catalogue import VECTOR_NAMES, Descriptor
from app.learning.embedding import embedded_outputs
from app.learning.graphs.settings import GraphSettings
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.networks.ensemble_settings import GRAPH, EnsembleSettings, MemberSettings, SourceSettings
from app.learning.networks.factory import build_network, inference_form
from app.learning.outputs import predict_outputs
from app.learning.predictor import Predictor
from app.learning.representations import Composite
from app.learning.samples import CompositeBatch, CompositeSamples, GraphSamples, VectorSamples, make_samples
from app.properties.catalogue import get_property
from app.registry.manifest import (
    Architecture,
    InputKind,
    Manifest,
    Metrics,
    PropertyRecord,
    TargetScaling,
    TrainingRecord,
)
from app.structures.composition import parse_composition
from tests.crystals import COMPOUNDS, crystal, other_cell, permuted, rocksalt, rotated, supercell

CPU = torch.device("cpu")
READS = Composite(GraphSettings(), (Descriptor.BONDING,))
N_MAGPIE = len(VECTOR_NAMES[Descriptor.MAGPIE])
STANDARD = TargetScaling(kind="standard", mean=1.5, std=0.4)
MEMBER = MemberSettings(
    label="ridge", architecture=Architecture.BASELINE, network={}, reads="bonding", scaling=STANDARD, weight=1.0
)


def cgcnn(seed: int) -> Cgcnn:
    """Random weights, and statistics of the compounds."""
    torch.manual_seed(seed)
    network = Cgcnn(CgcnnSettings(atom_feature_dim=16, hidden_dim=8))
    network.train()
    with torch.no_grad():
        network(samples().parts[GRAPH].batch(np.arange(len(COMPOUNDS)), CPU))
    return network.eval()


@lru_cache
def samples() -> CompositeSamples:
    made, errors = make_samples(list(COMPOUNDS.values()), READS)
    assert isinstance(made, CompositeSamples) and not any(errors)
    return made


def features() -> Any:
    part = samples().parts["bonding"]
    assert isinstance(part, VectorSamples)
    return part.features


def regressor(family: Family, rows: Any, **parameters: float) -> nn.Module:
    targets = np.linspace(-1.0, 1.0, len(rows))
    fitted = VectorProblem(family, rows, targets, seed=0).fit(parameters, np.arange(len(rows)))
    return export(family, fitted.estimator, fitted.offset, Descriptor.BONDING)


@lru_cache
def ensemble() -> EnsembleNetwork:
    """A network, support vectors on the first columns, a ridge that reads what a source predicts too, and another.

    The last reads nothing but the features that the source answers from.
    """
    source, network = cgcnn(1), cgcnn(2)
    outputs, embeddings = embedded_outputs(source, samples().parts[GRAPH], CPU)
    known = outputs[:, None].astype(np.float32)
    members = [
        network,
        regressor(Family.SVR, features()[:, :N_MAGPIE], C=3.0, gamma=0.01, epsilon=0.05),
        regressor(Family.KERNEL_RIDGE, np.hstack([features(), known]), alpha=0.01, gamma=0.003),
        regressor(Family.KERNEL_RIDGE, embeddings, alpha=0.01, gamma=0.1),
    ]
    dumped = [member.settings.model_dump(mode="json") for member in members]  # type: ignore[operator,union-attr]
    graph = SourceSettings(
        label="source", architecture=Architecture.CGCNN, network=source.settings.model_dump(mode="json"), reads=GRAPH
    )
    described = MEMBER.model_dump() | {"scaling": STANDARD}
    settings = EnsembleSettings(
        descriptors=(Descriptor.BONDING,),
        sources=(graph,),
        members=(
            MemberSettings(
                label="network", architecture=Architecture.CGCNN, network=dumped[0], reads=GRAPH,
                scaling=TargetScaling(kind="standard", mean=-1.0, std=2.0), weight=0.5,
            ),
            MemberSettings.model_validate(
                described | {"label": "svr", "network": dumped[1], "n_columns": N_MAGPIE, "weight": 0.3}
            ),
            MemberSettings.model_validate(
                described
                | {"network": dumped[2], "with_sources": True, "weight": 0.1, "scaling": TargetScaling(kind="none")}
            ),
            MemberSettings.model_validate(
                described | {"network": dumped[3], "n_columns": 0, "with_embeddings": True, "weight": 0.1}
            ),
        ),
    )  # fmt: skip
    return EnsembleNetwork(settings, [source], members).eval()


def manifest() -> Manifest:
    network, weights = ensemble(), network_to_bytes(ensemble())
    return Manifest(
        name="together", architecture=Architecture.ENSEMBLE, input_kind=InputKind.STRUCTURE,
        property=PropertyRecord.of(get_property("k_vrh")), network=network.settings.model_dump(mode="json"),
        graph=GraphSettings().model_dump(mode="json"), scaling=TargetScaling(kind="none"), elements=[],
        metrics=Metrics(), weights_sha256=weights_digest(weights), weights_bytes=len(weights),
        training=TrainingRecord(
            method="auto", dataset="", split="", n_train=0, n_val=0, n_test=0, seed=0, hyperparameters={},
            best_epoch=0, epochs=0,
        ),
    )  # fmt: skip


def test_the_weighted_mean_of_the_members() -> None:
    network = ensemble()
    graph, rows = samples().parts[GRAPH], torch.from_numpy(features())
    with torch.inference_mode():
        batch = graph.batch(np.arange(len(COMPOUNDS)), CPU)
        known = network.sources[0](batch).float()[:, None]
        first = network.members[0](batch).double() * 2.0 - 1.0
        second = network.members[1](rows[:, :N_MAGPIE]).double() * 0.4 + 1.5
        third = network.members[2](torch.cat([rows, known], dim=1)).double()
        fourth = network.members[3](network.sources[0].embed(batch)).double() * 0.4 + 1.5
    assert all(each.std() > 0.01 for each in (first, second, third, fourth))
    expected = 0.5 * first + 0.3 * second + 0.1 * third + 0.1 * fourth
    np.testing.assert_allclose(predict_outputs(network, samples(), CPU), expected, rtol=0, atol=1e-5)


def test_what_a_source_says_matters() -> None:
    network = ensemble()
    with torch.inference_mode():
        batch = samples().batch(np.arange(len(COMPOUNDS)), CPU)
        columns = network.source_columns(batch)
        assert columns is not None and columns.outputs.shape == (len(COMPOUNDS), 1)
        assert columns.outputs.dtype == columns.features.dtype == torch.float32
        outputs = network.member_outputs(batch)
        changed = network.members[2](torch.cat([torch.from_numpy(features()), columns.outputs + 5.0], dim=1))
    assert outputs.shape == (len(COMPOUNDS), 4)
    assert not torch.allclose(changed, outputs[:, 2])


def test_it_survives_json_and_safetensors() -> None:
    network = ensemble()
    settings = json.loads(network.settings.model_dump_json())
    fresh = build_network(Architecture.ENSEMBLE, settings)
    fresh.load_state_dict(safetensors.torch.load(network_to_bytes(network)))
    expected = predict_outputs(network, samples(), CPU)
    np.testing.assert_array_equal(predict_outputs(fresh, samples(), CPU), expected)
    np.testing.assert_allclose(predict_outputs(inference_form(fresh), samples(), CPU), expected, rtol=0, atol=2e-5)
    assert type(inference_form(network).members[0]) is not Cgcnn  # type: ignore[index,union-attr]


def test_a_predictor_answers_in_the_propertys_unit_whatever_the_description() -> None:
    # One's own property has no bounds, at which values of these untrained networks would be cut.
    unbounded = PropertyRecord.of(get_property("k_vrh")).model_copy(update={"key": "mine"})
    predictor = Predictor.from_bytes(
        manifest().model_copy(update={"property": unbounded}), network_to_bytes(ensemble())
    )
    logarithms = predict_outputs(ensemble(), samples(), CPU)
    items = list(COMPOUNDS.values())
    answers = np.array(predictor.predict(items), dtype=np.float64)
    np.testing.assert_allclose(answers, 10.0**logarithms, rtol=1e-4)
    changes = [partial(permuted, seed=3), partial(rotated, seed=4), partial(supercell, repeats=(2, 1, 1)), other_cell]
    for change in changes:
        same = np.array(predictor.predict([change(item) for item in items]), dtype=np.float64)
        np.testing.assert_allclose(np.log10(same), np.log10(answers), rtol=0, atol=1e-4)
    alone = [predictor.predict([item])[0] for item in items]
    np.testing.assert_allclose(np.array(alone, dtype=np.float64), answers, rtol=1e-5)


def test_a_row_that_fails_in_one_part_is_left_out_of_all() -> None:
    alone_in_its_cell = crystal(30.0 * np.eye(3), ["Ar"], [[0, 0, 0]])
    good = [rocksalt(5.64, "Na", "Cl"), rocksalt(4.2, "Mg", "O"), COMPOUNDS["Si"]]
    items = [good[0], alone_in_its_cell, good[1], parse_composition("NaCl"), good[2]]
    both, errors = make_samples(items, READS)
    assert [error is None for error in errors] == [True, False, True, False, True]
    assert {error.code for error in errors if error is not None} == {"isolated_atom", "input_kind_mismatch"}
    assert isinstance(both, CompositeSamples) and len(both) == 3
    rows, graphs = both.parts["bonding"], both.parts[GRAPH]
    assert isinstance(rows, VectorSamples) and isinstance(graphs, GraphSamples)
    assert len(rows) == len(graphs) == 3
    for index, item in enumerate(good):
        one, _ = make_samples([item], READS)
        assert isinstance(one, CompositeSamples) and isinstance(one.parts["bonding"], VectorSamples)
        np.testing.assert_array_equal(rows.features[index], one.parts["bonding"].features[0])
        assert graphs.costs[index] == one.parts[GRAPH].costs[0]
    taken = both.take(np.array([2, 0]))
    batch = taken.batch(np.array([1]), CPU)
    assert isinstance(batch, CompositeBatch) and set(batch.parts) == {GRAPH, "bonding"}
    np.testing.assert_array_equal(batch.parts["bonding"], rows.features[:1])


def test_rows_that_only_a_descriptor_cannot_read_leave_the_graphs_too() -> None:
    """The second part may refuse what the first has taken: the first gives the row up again."""
    items = [rocksalt(4.2, "Mg", "O"), crystal(4.0 * np.eye(3), ["Fm"], [[0, 0, 0]]), rocksalt(5.64, "Na", "Cl")]
    reads = Composite(GraphSettings(), (Descriptor.MAGPIE, Descriptor.ELEMENTAL_FRACTIONS))
    found, errors = make_samples(items, reads)
    kept = [item for item, error in zip(items, errors, strict=True) if error is None]
    assert isinstance(found, CompositeSamples)
    assert {len(part) for part in found.parts.values()} == {len(kept)} == {2}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"weight": 0.5}, "must sum to 1"),
        ({"reads": "magpie"}, "ridge reads 'magpie'"),
        ({"architecture": Architecture.ENSEMBLE}, "part of an ensemble"),
        ({"scaling": TargetScaling(kind="tanh")}, "cannot be averaged"),
        ({"with_sources": True}, "there are none"),
        ({"weight": 1.5}, "less than or equal to 1"),
        ({"n_columns": -1}, "greater than or equal to 0"),
        ({"n_columns": 0}, "reads nothing"),
        ({"with_embeddings": True}, "there are none"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_settings_that_make_no_ensemble_are_refused(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        EnsembleSettings.model_validate(
            {"descriptors": ["bonding"], "members": [MEMBER.model_dump(mode="json") | changed]}
        )
    accepted = {"descriptors": ["bonding"], "members": [MEMBER.model_dump(mode="json")]}
    assert not EnsembleSettings.model_validate(accepted).reads_graph
    with pytest.raises(ValidationError, match="at least 1"):
        EnsembleSettings.model_validate({"descriptors": ["bonding"], "members": []})
