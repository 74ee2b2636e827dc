"""Feature vectors come from the same pass as the answers, and depend on the crystal alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.core.settings import PROJECT_ROOT
from app.learning.baselines.linear_model import LinearModel, LinearSettings
from app.learning.baselines.soap_ridge import soap_support
from app.learning.descriptors.catalogue import Descriptor, describe
from app.learning.descriptors.soap import SoapSettings
from app.learning.embedding import embedded_outputs
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.networks.embeddings import outputs_and_embeddings
from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.networks.ensemble_settings import GRAPH, EnsembleSettings, MemberSettings
from app.learning.networks.factory import build_network, inference_form
from app.learning.networks.schnet import SchNet, SchNetSettings
from app.learning.outputs import predict_outputs
from app.learning.predictor import Predictor
from app.learning.representations import Described, representation_for
from app.learning.samples import make_samples
from app.registry.manifest import MANIFEST_FILE, WEIGHTS_FILE, Architecture, Manifest, TargetScaling
from app.structures.composition import parse_composition
from tests.crystals import COMPOUNDS, other_cell, permuted, supercell

STORE = PROJECT_ROOT / "models_store"
CPU = torch.device("cpu")
NETWORKS = [
    (Architecture.CGCNN, {}, 64),
    (Architecture.CGCNN, {"convolution": "plain"}, 64),
    (Architecture.SCHNET, {"n_interactions": 2, "n_atom_basis": 30, "n_filters": 30}, 30),
    (Architecture.ELEMNET, {}, 128 + 64 + 32),
    (Architecture.ELEMNET_REPRESENTATION, {"source_widths": [64, 32], "features": "relu"}, 128 + 64 + 32),
]


def shipped(name: str) -> Predictor:
    folder: Path = STORE / name
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    return Predictor.from_bytes(manifest, (folder / WEIGHTS_FILE).read_bytes())


@pytest.mark.parametrize(("architecture", "settings", "width"), NETWORKS)
def test_answers_of_the_same_pass_are_those_of_the_network(
    architecture: Architecture, settings: dict[str, object], width: int
) -> None:
    torch.manual_seed(0)
    network = inference_form(build_network(architecture, settings))
    items = [*COMPOUNDS.values()]
    samples, _ = make_samples(items, representation_for(architecture, settings))
    outputs, embeddings = embedded_outputs(network, samples, CPU)
    assert embeddings.shape == (len(items), width) and embeddings.dtype == np.float32
    assert np.ptp(embeddings, axis=0).max() > 0
    np.testing.assert_allclose(outputs, predict_outputs(network, samples, CPU), rtol=1e-6, atol=1e-6)


def test_the_folded_network_has_the_features_of_the_trained_one() -> None:
    torch.manual_seed(0)
    for network in (Cgcnn(CgcnnSettings()).eval(), SchNet(SchNetSettings(n_interactions=2)).eval()):
        architecture = Architecture.CGCNN if isinstance(network, Cgcnn) else Architecture.SCHNET
        samples, _ = make_samples([*COMPOUNDS.values()], representation_for(architecture, {}))
        batch = samples.batch(np.arange(len(samples)), CPU)
        with torch.inference_mode():
            expected = network.embed(batch)  # type: ignore[arg-type]
        for form in (network, inference_form(network)):
            np.testing.assert_allclose(outputs_and_embeddings(form, batch)[1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("descriptor", [Descriptor.MAGPIE, Descriptor.SOAP])
def test_of_a_baseline_they_are_its_descriptor(descriptor: Descriptor) -> None:
    items = [*COMPOUNDS.values()]
    samples, _ = make_samples(items, Described(descriptor))
    rows, _ = describe(descriptor, items)
    network: torch.nn.Module
    if descriptor is Descriptor.MAGPIE:
        network = LinearModel(LinearSettings(descriptor=descriptor, n_features=rows.shape[1]))
        np.testing.assert_array_equal(embedded_outputs(network, samples, CPU)[1], rows)
        return
    network = soap_support(rows, SoapSettings())
    embeddings = embedded_outputs(network, samples, CPU)[1]
    assert embeddings.shape == (len(items), SoapSettings().block_size)
    # Padding counts for nothing: alone, an input has fewer element pairs to fill up.
    alone, _ = make_samples(items[:1], Described(descriptor))
    np.testing.assert_allclose(embedded_outputs(network, alone, CPU)[1][0], embeddings[0], rtol=1e-6)


def test_they_do_not_depend_on_how_a_crystal_is_written() -> None:
    predictor = shipped("cgcnn-formation-energy/1")
    for crystal in COMPOUNDS.values():
        forms = [crystal, permuted(crystal, 1), supercell(crystal, (2, 1, 2)), other_cell(crystal)]
        (first, *others), errors = predictor.embed(forms)
        assert errors == [None] * len(forms)
        for other in others:
            np.testing.assert_allclose(other, first, atol=2e-5)


def test_each_item_has_its_vector_or_its_error() -> None:
    structures = shipped("cgcnn-formation-energy/1")
    embeddings, errors = structures.embed([COMPOUNDS["NaCl"], parse_composition("NaCl")])
    assert embeddings.shape == (1, 96)
    assert [error and error.code for error in errors] == [None, "input_kind_mismatch"]
    nothing, errors = structures.embed([parse_composition("NaCl")])
    assert nothing.shape[0] == 0 and errors[0] is not None


def test_of_an_ensemble_they_are_answers_and_descriptors_of_its_members() -> None:
    linear = LinearModel(LinearSettings(descriptor=Descriptor.MAGPIE, n_features=132))
    torch.nn.init.normal_(linear.coefficients)
    graphs = Cgcnn(CgcnnSettings()).eval()
    scaling = TargetScaling(kind="standard", mean=1.0, std=2.0)
    described = MemberSettings(
        label="linear", architecture=Architecture.BASELINE, network=linear.settings.model_dump(mode="json"),
        reads="magpie", scaling=scaling, weight=0.25,
    )  # fmt: skip
    network_member = MemberSettings(
        label="graphs", architecture=Architecture.CGCNN, network={}, reads=GRAPH, scaling=scaling, weight=0.75
    )
    both = EnsembleSettings(descriptors=(Descriptor.MAGPIE,), members=(described, network_member))
    alone = EnsembleSettings(members=(network_member.model_copy(update={"weight": 1.0}),))
    items = [*COMPOUNDS.values()]
    for settings, members, width in ((both, [linear, graphs], 2 + 132), (alone, [graphs], 1 + 64)):
        network = EnsembleNetwork(settings, [], members).eval()
        samples, _ = make_samples(items, representation_for(Architecture.ENSEMBLE, settings.model_dump(mode="json")))
        outputs, embeddings = embedded_outputs(network, samples, CPU)
        assert embeddings.shape == (len(items), width)
        np.testing.assert_allclose(outputs, predict_outputs(network, samples, CPU), rtol=1e-5)
