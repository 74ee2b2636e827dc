"""Several API processes behind one port: the same answers from each, and none left behind."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from app.cli.up import API_SILENCE_S
from app.predictions.examples import NACL_CIF
from tests.concurrency import run_at_once
from tests.e2e.conftest import Running, running_up, wait_for
from tests.tiny_models import ENERGY_MODEL, tiny_models

__all__ = ["tiny_models"]

N_REQUESTS = 24


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Running]:
    with running_up(tmp_path_factory.mktemp("several"), tiny_models, "--api-workers", "2") as running:
        yield running


def _ask(running: Running, body: dict[str, Any]) -> dict[str, Any]:
    # A connection each, so that every process gets some.
    answer = httpx2.post(f"{running.url}/v1/predictions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    return read


def _api_processes(running: Running) -> list[psutil.Process]:
    children = running.descendant("uvicorn").children()
    alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "spawn_main" in " ".join(child.cmdline())]


def test_every_process_gives_the_same_values(several: Running) -> None:
    assert len(_api_processes(several)) == 2
    cifs = [NACL_CIF.replace("5.6402", f"{5.2 + 0.05 * (i % 6):.4f}") for i in range(N_REQUESTS)]
    asked = [{"inputs": [{"cif": cif}], "models": [ENERGY_MODEL]} for cif in cifs]
    values = [body["predictions"][0]["value"] for body in run_at_once(lambda body: _ask(several, body), asked)]
    for i, value in enumerate(values):
        assert value == pytest.approx(values[i % 6], abs=1e-5)


def test_a_batch_is_read_by_the_pool(several: Running) -> None:
    body = _ask(several, {"inputs": [{"cif": NACL_CIF.replace("5.6402", f"{5 + 0.01 * i}")} for i in range(60)]})
    assert len(body["predictions"]) == 120
    assert any("pool_worker" in " ".join(p.cmdline()) for p in several.descendants())


def test_metrics_are_those_of_all_processes(several: Running) -> None:
    counted = 'xtalforge_http_request_seconds_count{method="GET",route="/v1/properties",status="200"}'

    def scrape() -> dict[str, float]:
        lines = httpx2.get(f"{several.url}/metrics", timeout=30).text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    before = scrape()
    for _ in range(N_REQUESTS):  # a connection each
        assert httpx2.get(f"{several.url}/v1/properties", timeout=30).status_code == 200
    after = [scrape() for _ in range(4)]
    assert {found[counted] - before.get(counted, 0) for found in after} == {N_REQUESTS}
    assert {found["xtalforge_processes"] for found in after} == {2}


def test_a_moved_alias_is_seen_by_every_process(several: Running) -> None:
    body = {"inputs": [{"cif": NACL_CIF}], "models": [f"{ENERGY_MODEL}@candidate"]}
    url = f"{several.url}/v1/models/{ENERGY_MODEL}/aliases/candidate"
    assert httpx2.put(url, json={"version": 1}, timeout=30).status_code in (200, 201)
    for _ in range(8):
        assert _ask(several, body)["predictions"][0]["model"]["version"] == 1
    assert httpx2.delete(url, timeout=30).status_code == 204
    time.sleep(1.0)
    for _ in range(8):
        answer = httpx2.post(f"{several.url}/v1/predictions", json=body, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (404, "alias_not_found")


def test_a_killed_process_is_replaced(several: Running) -> None:
    victim, other = _api_processes(several)
    os.kill(victim.pid, signal.SIGKILL)
    # At once, unless it was just being asked whether it lives: uvicorn then waits for that answer first.
    patience_s = API_SILENCE_S + 30
    wait_for(lambda: len({p.pid for p in _api_processes(several)} - {victim.pid}) == 2, "a new API process", patience_s)
    assert other.is_running()
    assert _ask(several, {"inputs": [{"cif": NACL_CIF}]})["predictions"]


def test_stopping_leaves_nobody(several: Running) -> None:
    """The last one: it ends the service of the others."""
    _ask(several, {"inputs": [{"cif": NACL_CIF.replace("5.64", f"5.{i}")} for i in range(10, 60)]})
    family = [process for process in several.descendants() if process.status() != psutil.STATUS_ZOMBIE]
    assert any("pool_worker" in " ".join(p.cmdline()) for p in family)
    several.process.send_signal(signal.SIGTERM)
    assert several.process.wait(15) == 0
    gone, alive = psutil.wait_procs(family, timeout=2)
    assert not alive and gone
    assert "Traceback" not in several.log.read_text()
