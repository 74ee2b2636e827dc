"""The engine under many callers: the values are those each would get alone."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from app.core.errors import InputKindMismatch, IsolatedAtom, XtalforgeError
from app.learning.engine import InferenceEngine
from app.learning.featurising import FeaturisedCrystal
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.graphs.settings import GraphSettings
from app.learning.predictor import Estimate
from app.registry.artifact import Artifact
from app.registry.shipped import read_shipped
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from tests.tiny_models import COMPOSITION_MODEL, ENERGY_MODEL, GAP_MODEL, salts, tiny_models

__all__ = ["tiny_models"]

torch.set_num_threads(1)
SETTINGS = GraphSettings()


@pytest.fixture(scope="module")
def models(tiny_models: Path) -> dict[str, Artifact]:
    return {
        shipped.manifest.name: Artifact(shipped.manifest, shipped.weights(), shipped.trust())
        for shipped in read_shipped(tiny_models)
    }


def _featurised(crystal: Crystal) -> FeaturisedCrystal:
    return FeaturisedCrystal(crystal, {SETTINGS: build_crystal_graph(crystal, SETTINGS)})


def _values(answers: Sequence[Estimate | XtalforgeError]) -> list[float | XtalforgeError]:
    return [answer.value if isinstance(answer, Estimate) else answer for answer in answers]


def test_values_do_not_depend_on_the_company(models: dict[str, Artifact]) -> None:
    engine = InferenceEngine()
    crystals = salts()
    alone = {
        name: [_values(engine.predict(name, lambda n=name: models[n], [crystal]))[0] for crystal in crystals]  # type: ignore[misc]
        for name in (ENERGY_MODEL, GAP_MODEL)
    }

    def ask(index: int) -> None:
        crystal = crystals[index % len(crystals)]
        given = crystal if index % 2 else _featurised(crystal)
        for name, expected in alone.items():
            (value,) = _values(engine.predict(name, partial(models.__getitem__, name), [given]))
            assert value == pytest.approx(expected[index % len(crystals)], abs=1e-5)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(160)))


def test_one_bad_item_fails_alone(models: dict[str, Artifact]) -> None:
    engine = InferenceEngine()
    good = [_featurised(crystal) for crystal in salts()[:5]]
    graph = build_crystal_graph(good[0].crystal, SETTINGS)
    # Points at a node that does not exist, which no reader makes: the computation itself fails.
    broken = replace(graph, edge_index=np.full_like(graph.edge_index, 1_000_000))
    bad = [
        FeaturisedCrystal(replace(good[0].crystal), {SETTINGS: broken}),
        FeaturisedCrystal(replace(good[0].crystal), {SETTINGS: IsolatedAtom("no neighbour")}),
        parse_composition("NaCl"),
    ]
    load = partial(models.__getitem__, ENERGY_MODEL)
    expected = _values(engine.predict("a", load, good))
    values = _values(engine.predict("a", load, [*good[:2], *bad, *good[2:]]))
    assert [values[i] for i in (0, 1, 5, 6, 7)] == pytest.approx(expected, abs=1e-5)
    assert type(values[2]) is XtalforgeError
    assert isinstance(values[3], IsolatedAtom) and isinstance(values[4], InputKindMismatch)


def test_a_crystal_serves_a_composition_model(models: dict[str, Artifact]) -> None:
    engine, load = InferenceEngine(), partial(models.__getitem__, COMPOSITION_MODEL)
    crystal = salts()[0]
    (by_crystal,) = _values(engine.predict("c", load, [_featurised(crystal)]))
    (by_formula,) = _values(engine.predict("c", load, [parse_composition(crystal.reduced_formula)]))
    assert by_crystal == pytest.approx(by_formula, abs=1e-6)
