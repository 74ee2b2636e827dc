"""Small requests computed by one thread: each gets its own answer or its own error, and waits for nobody's fault."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.core.errors import NotReady, XtalforgeError
from app.predictions.compute_client import LaneClient
from app.predictions.compute_messages import DONE, FAULT, NOT_LIGHT, REFUSED, LaneRequestReader, LaneRequests
from app.predictions.engine import Embedded, Estimate
from app.predictions.examples import NACL_CIF
from app.predictions.inputs import RawInput, StructureText
from app.predictions.lane_reader import LaneReader
from app.predictions.pool import ReaderProcess
from app.predictions.selection import SelectedModel
from app.predictions.service import Asked, PredictionService
from app.registry.models import ModelVersion
from app.structures.detect import StructureFormat
from tests.predictions.lanes import running_lane
from tests.tiny_models import ENERGY_MODEL


def _asked(text: str) -> Asked:
    return Asked([RawInput("x", StructureText(text, StructureFormat.CIF))])


def _salt(edge: float) -> str:
    return NACL_CIF.replace("5.6402", f"{edge:.4f}")


async def _outcome(lane: LaneClient, asked: Asked, models: Sequence[SelectedModel]) -> Any:
    """The value, or what went wrong: the code of an error, a status."""
    status, body = await lane.ask(asked, models)
    if status == DONE:
        return json.loads(body)["predictions"][0]["value"]
    return json.loads(body)[0] if status == REFUSED else status


def _run(
    service: PredictionService, models: Sequence[SelectedModel], *requests: Asked, n_readers: int = 0
) -> list[Any]:
    async def scenario() -> list[Any]:
        readers = [LaneReader(ReaderProcess(20.0), 20.0) for _ in range(n_readers)]
        async with running_lane(service, readers) as lane:
            return await asyncio.gather(*(_outcome(lane, asked, models) for asked in requests))

    return asyncio.run(scenario())


@pytest.mark.parametrize("n_readers", [0, 2])
def test_each_gets_its_own(service: PredictionService, energy: list[SelectedModel], n_readers: int) -> None:
    edges = [5.0 + 0.01 * i for i in range(60)]
    alone = [service.predict(_asked(_salt(edge)).inputs, [ENERGY_MODEL]).predictions[0].value for edge in edges]
    large = _salt(25).replace("Na 0 0 0", "Na 0.06 0.11 0.19").replace("Cl 0.5 0.5 0.5", "Cl 0.13 0.24 0.37")
    odd = [_asked("hello"), _asked(large)]
    # Other texts of the same crystals, or nothing would be read any more.
    asked = [*(_asked(_salt(edge) + f"# {n_readers}\n") for edge in edges), *odd]
    answers = _run(service, energy, *asked, n_readers=n_readers)
    assert answers[:-2] == pytest.approx(alone, abs=1e-5)
    assert answers[-2:] == ["unparsable_structure", NOT_LIGHT]


def test_long_texts_are_left_to_readers(service: PredictionService, energy: list[SelectedModel]) -> None:
    texts = [f"{_salt(5 + 0.01 * i)}{'#' * 6_000}\n" for i in range(3)]
    alone = [service.predict(_asked(text).inputs, [ENERGY_MODEL]).predictions[0].value for text in texts]
    asked = [_asked(f"{text}\n") for text in texts]
    assert _run(service, energy, *asked) == [NOT_LIGHT] * 3
    assert _run(service, energy, *asked, n_readers=1) == pytest.approx(alone, abs=1e-5)


def test_whoever_left_harms_nobody(service: PredictionService, energy: list[SelectedModel]) -> None:
    async def scenario() -> float:
        async with running_lane(service) as lane:
            left = lane.ask(_asked(_salt(5.61)), energy)
            stayed = asyncio.create_task(_outcome(lane, _asked(_salt(5.62)), energy))
            left.cancel()
            value: float = await stayed
            return value

    assert isinstance(asyncio.run(scenario()), float)


def test_an_engine_that_fails_fails_the_requests_only(
    service: PredictionService, energy: list[SelectedModel], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        n_loaded = 0

        def __init__(self, error: Exception) -> None:
            self.error = error

        def predict(self, *_: object) -> list[Estimate | XtalforgeError]:
            raise self.error

        def embed(self, *_: object, contributions: bool) -> list[Embedded | XtalforgeError]:
            raise self.error

    for error, told in ((NotReady("no engine"), "not_ready"), (RuntimeError("broken"), FAULT)):
        broken = PredictionService(service._directory, Broken(error), service._limits, service._featuriser)
        assert _run(broken, energy, _asked(_salt(5.5)), _asked(_salt(5.6))) == [told, told]


def test_models_are_described_once_and_forgotten_together(energy: list[SelectedModel]) -> None:
    """Of more models than are kept in mind, each request still means its own."""
    requests, reader = LaneRequests(), LaneRequestReader()
    (model,) = energy
    versions = [replace(model, version=_copy(model.version, f"version {i}")) for i in range(300)]
    for number in (0, 1, *range(300), 299, 0):
        body = requests.pack(_asked("x"), [versions[number], versions[299]])
        asked = reader.open(body)
        assert asked.chosen is not None
        assert [each.version.id for each in asked.chosen] == [f"version {number}", "version 299"]
        assert asked.chosen[0].manifest == model.manifest and asked.chosen[0].graph == model.graph
    assert len(requests.pack(_asked("x"), [versions[0]])) < 200


def _copy(version: ModelVersion, version_id: str) -> ModelVersion:
    kept = {name: getattr(version, name) for name in ("model_name", "version", "weights_sha256", "manifest")}
    return ModelVersion(id=version_id, **kept)
