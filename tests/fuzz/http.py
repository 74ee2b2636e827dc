"""Every route of a running service by its own description (schemathesis): no 5xx, nothing that is not described."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil

from app.cli.broker import free_port
from app.core.settings import PROJECT_ROOT
from tests.fuzz.bodies import GOAL, ROWS
from tests.fuzz.campaign import PHASES
from tests.fuzz.http_hooks import HELD_VARIABLE, SEED_VARIABLE

# What text fields may hold (formulas, CIFs, names of what there is) no schema can express.
EXCLUDED_CHECKS = "positive_data_acceptance"
START_S = 180.0
ANSWER_S = 5.0
_TERMINAL = {"succeeded", "failed", "cancelled", "expired"}


@dataclass(frozen=True)
class Service:
    """A running one. Without a key it asks for none."""

    url: str
    process: psutil.Process
    log: Path
    key: str | None

    def memory_mb(self) -> float:
        """Of all its processes."""
        total = 0
        for process in [self.process, *self.process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / 1e6


def run(max_examples: int, seed: int, *, with_key: bool, phases: str = PHASES) -> dict[str, Any]:
    """Schemathesis' account of a run against a service of its own, with the growth of its memory and its errors."""
    with (
        tempfile.TemporaryDirectory(prefix="xtalforge-fuzz-") as name,
        started(Path(name), with_key=with_key) as service,
    ):
        held = populate(service)
        before = service.memory_mb()
        account = run_schemathesis(service, held, max_examples, seed, phases, Path(name) / "report.json")
        errors = [line for line in service.log.read_text().splitlines() if "Traceback" in line or "[error" in line]
        return account | {
            "memory_mb": [before, service.memory_mb()], "logged_errors": errors[:20], "key": with_key, "asked": phases
        }  # fmt: skip


def run_schemathesis(
    service: Service, held: Mapping[str, list[str]], max_examples: int, seed: int, phases: str, report: Path
) -> dict[str, Any]:
    """`st run` with all checks but EXCLUDED_CHECKS; what it prints is printed."""
    command = [
        str(Path(sys.executable).parent / "st"), "run", f"{service.url}/openapi.json", "-n", str(max_examples),
        "--seed", str(seed), "--phases", phases, "--checks", "all", "--exclude-checks", EXCLUDED_CHECKS,
        "--continue-on-failure", "--no-shrink", "--request-timeout", "60", "--max-response-time", str(ANSWER_S),
        "--suppress-health-check", "all", "--warnings", "off", "--no-color", "--report", "json", "--report-json-path",
        str(report),
    ]  # fmt: skip
    if service.key is not None:
        command += ["-H", f"Authorization: Bearer {service.key}"]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.fuzz.http_hooks", "PYTHONPATH": str(PROJECT_ROOT),
        HELD_VARIABLE: json.dumps(held), SEED_VARIABLE: str(seed),
    }  # fmt: skip
    subprocess.run(command, env=environment, cwd=report.parent, check=False)
    account: dict[str, Any] = json.loads(report.read_text())
    return account


@contextmanager
def started(folder: Path, *, with_key: bool) -> Iterator[Service]:
    """`xtalforge up` in this folder until the end of the block."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    program = str(Path(sys.executable).parent / "xtalforge")
    environment = os.environ | {
        "XTALFORGE_DATA_DIR": str(folder / "data"), "XTALFORGE_DEVICE": "cpu", "XTALFORGE_LOG_LEVEL": "ERROR",
        "XTALFORGE_JOBS__OPEN_PER_TENANT": "3", "XTALFORGE_ACCESS__KEYS": "required" if with_key else "off",
        "XTALFORGE_ACCESS__FAILURES_PER_MINUTE": "1000000", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "up", "--port", str(port)], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_ready(url, process)
        key = None
        if with_key:
            command = [program, "keys", "create", "fuzz", *("--scope", "predict"), *("--scope", "train"), "--json"]
            made = subprocess.run(command, env=environment, capture_output=True, check=True)
            key = json.loads(made.stdout)["key"]
        yield Service(url, psutil.Process(process.pid), log, key)
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()


def populate(service: Service) -> dict[str, list[str]]:
    """A data set and finished jobs of each kind; parameter names (with the path before them) to what they may be."""
    headers = {"Authorization": f"Bearer {service.key}"} if service.key is not None else {}
    with httpx2.Client(base_url=service.url, headers=headers, timeout=60) as client:
        form = {"property": "band_gap", "name": "fuzz"}
        dataset = _made(client.post("/v1/datasets", data=form, files={"file": ("a.csv", ROWS)}))["id"]
        bulk = _made(client.post("/v1/bulk-predictions", json={"dataset_id": dataset}))["id"]
        tuning = {"dataset_id": dataset, "model_name": "fuzz-model", "method": "pls"}
        trained = _made(client.post("/v1/fine-tuning/jobs", json=tuning))["id"]
        wish = {"dataset_id": dataset, "objectives": [GOAL]}
        screened = _made(client.post("/v1/screenings", json=wish))["id"]
        jobs = {"/v1/bulk-predictions": bulk, "/v1/fine-tuning/jobs": trained, "/v1/screenings": screened}
        for path, job in jobs.items():
            _wait_for_job(client, f"{path}/{job}")
        models = [model["name"] for model in client.get("/v1/models").json()["items"]]
    held = {f"{path} job_id": [job] for path, job in jobs.items()}
    return held | {"dataset_id": [dataset], "name": models, "alias": ["champion"], "version": ["1", "2"]}


def _made(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def _wait_for_job(client: httpx2.Client, path: str) -> None:
    deadline = time.monotonic() + START_S
    while client.get(path).json()["status"] not in _TERMINAL:
        assert time.monotonic() < deadline, f"{path} does not end"
        time.sleep(0.5)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while True:
        with suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return
        assert time.monotonic() < deadline and process.poll() is None, "the service does not start"
        time.sleep(0.5)
