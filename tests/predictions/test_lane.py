"""Small requests computed by one thread: each gets its own answer or its own error, and waits for nobody's fault."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.core.errors import ModelNotFound, NotReady, UnparsableStructure, XtalforgeError
from app.predictions.engine import InferenceEngine
from app.predictions.examples import NACL_CIF
from app.predictions.featuriser import Featuriser
from app.predictions.inputs import RawInput, StructureText
from app.predictions.lane import PredictionLane
from app.predictions.pool import FeaturisingPool
from app.predictions.service import Asked, NotLight, PredictionService
from app.structures.detect import StructureFormat
from tests.tiny_models import ENERGY_MODEL


@pytest.fixture(scope="module")
def pool() -> Iterator[FeaturisingPool]:
    pool = FeaturisingPool(1, 20.0)
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def service(client: TestClient, pool: FeaturisingPool) -> PredictionService:
    """The application's models, with a pool that gives up soon."""
    of_app: PredictionService = client.app.state.resources.get(PredictionService)  # type: ignore[attr-defined]
    return PredictionService(of_app._directory, of_app._engine, of_app._limits, Featuriser(pool))


def _asked(text: str, model: str = ENERGY_MODEL) -> Asked:
    return Asked([RawInput("x", StructureText(text, StructureFormat.CIF))], models=[model])


def _salt(edge: float) -> str:
    return NACL_CIF.replace("5.6402", f"{edge:.4f}")


async def _outcome(lane: PredictionLane, asked: Asked) -> Any:
    try:
        return json.loads(await lane.submit(asked))["predictions"][0]["value"]
    except (XtalforgeError, NotLight) as error:
        return type(error)


def _run(service: PredictionService, *requests: Asked, share: bool) -> list[Any]:
    async def scenario() -> list[Any]:
        lane = PredictionLane(service, share=share)
        answers = await asyncio.gather(*(_outcome(lane, asked) for asked in requests))
        await asyncio.to_thread(lane.close)
        assert not lane._thread.is_alive() and not lane._open
        return answers

    return asyncio.run(scenario())


@pytest.mark.parametrize("share", [False, True])
def test_each_gets_its_own(service: PredictionService, share: bool) -> None:
    edges = [5.0 + 0.01 * i for i in range(60)]
    alone = [service.predict(_asked(_salt(edge)).inputs, [ENERGY_MODEL]).predictions[0].value for edge in edges]
    large = _salt(25).replace("Na 0 0 0", "Na 0.06 0.11 0.19").replace("Cl 0.5 0.5 0.5", "Cl 0.13 0.24 0.37")
    odd = [_asked("hello"), _asked(_salt(5), "nope"), _asked(large)]
    # Other texts of the same crystals, or nothing would be read any more.
    asked = [*(_asked(_salt(edge) + f"# {share}\n") for edge in edges), *odd]
    answers = _run(service, *asked, share=share)
    assert answers[:-3] == pytest.approx(alone, abs=1e-5)
    assert answers[-3:] == [UnparsableStructure, ModelNotFound, NotLight]


def test_whoever_left_harms_nobody(service: PredictionService) -> None:
    async def scenario() -> float:
        lane = PredictionLane(service, share=False)
        left = lane.submit(_asked(_salt(5.61)))
        stayed = asyncio.create_task(_outcome(lane, _asked(_salt(5.62))))
        left.cancel()
        value: float = await stayed
        await asyncio.to_thread(lane.close)
        return value

    assert isinstance(asyncio.run(scenario()), float)


def test_an_engine_that_cannot_be_made_fails_the_requests_only(service: PredictionService) -> None:
    class Broken:
        def predict(self, *_: object) -> list[float | XtalforgeError]:
            raise NotReady("no engine")

    engine: InferenceEngine = Broken()
    broken = PredictionService(service._directory, engine, service._limits, service._featuriser)
    assert _run(broken, _asked(_salt(5.5)), _asked(_salt(5.6)), share=False) == [NotReady, NotReady]
