"""Method `auto` as a user meets it: over HTTP, with a real worker, to the promoted model and its report."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app.structures.crystal import Crystal
from tests.crystals import cscl, rocksalt, zincblende
from tests.e2e.conftest import Running, environment
from tests.e2e.test_docs_in_browser import CHROMIUM, QUIET
from tests.e2e.test_service import _wait_for_end
from tests.tiny_models import ENERGY_MODEL, GAP_MODEL
from tests.workers.conftest import poscar

QUICKLY = {"max_seconds": 8, "n_folds": 2}
"""Time for the simple entrants and for some of the others."""


def built() -> list[Crystal]:
    """60 binary crystals."""
    pairs = [(a, x) for a in ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn") for x in ("F", "Cl", "Br")]
    pairs += [(a, x) for a, _ in pairs[::3] for x in ("O", "S", "Se")]
    return [(cscl, zincblende, rocksalt)[i % 3](4.2 + 0.03 * i, a, x) for i, (a, x) in enumerate(pairs)]


def ended(service: Running, name: str, labels: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """The job of a data set with these labels (60,)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["poscar", "heat"])
    writer.writerows((poscar(crystal), label) for crystal, label in zip(built(), labels.tolist(), strict=True))
    with service.client() as client:
        uploaded = client.post(
            "/v1/datasets", files={"file": ("x.csv", text.getvalue().encode())},
            data={"property": "heat", "unit": "J/mol", "name": name},
        )  # fmt: skip
        assert uploaded.status_code == 201, uploaded.text
        body = {"dataset_id": uploaded.json()["id"], "model_name": name, "method": "auto", "hyperparameters": QUICKLY}
        created = client.post("/v1/fine-tuning/jobs", json=body)
        assert created.status_code == 201, created.text
        early = client.get(f"/v1/fine-tuning/jobs/{created.json()['id']}/report")
        assert (early.status_code, early.json()["code"]) == (409, "job_not_finished")
        assert {source["name"] for source in created.json()["sources"]} == {ENERGY_MODEL, GAP_MODEL}
        job = _wait_for_end(client, created.json()["id"])
    assert job["status"] == "succeeded", job
    assert job["search"]["total"] > 5 and "fold" in job["search"]["text"]
    return job


@pytest.fixture(scope="module")
def learned(service: Running) -> dict[str, Any]:
    return ended(service, "heats", np.array([3e4 * crystal.n_sites / crystal.volume for crystal in built()]))


def report_of(service: Running, job: dict[str, Any]) -> dict[str, Any]:
    with service.client() as client:
        report: dict[str, Any] = client.get(f"/v1/fine-tuning/jobs/{job['id']}/report").json()
    return report


def predict(service: Running, model: str) -> Any:
    ask = {"inputs": [{"poscar": poscar(built()[0])}], "models": [model]}
    with service.client() as client:
        return client.post("/v1/predictions", json=ask)


def test_it_ends_with_a_model_that_answers_and_a_report(service: Running, learned: dict[str, Any]) -> None:
    answer = predict(service, "heats/1").json()["predictions"][0]
    assert answer["unit"] == "J/mol" and 0 < answer["value"] < 5000
    report = report_of(service, learned)
    tournament = report["tournament"]
    assert report["metrics"]["test"]["n"] + tournament["n_rows"] == 60
    assert report["model"]["sha256"] == answer["model"]["sha256"]
    assert tournament["is_better_than_baseline"] is ("champion" in report["model"]["aliases"])
    assert tournament["seconds"] < 60
    left = {entrant["name"] for entrant in tournament["left_out"]}
    assert left and all(entrant["why"] for entrant in tournament["left_out"])
    assert f"{ENERGY_MODEL} fine-tuned" in left | {entrant["name"] for entrant in tournament["entrants"]}


def test_noise_is_kept_but_not_promoted(service: Running) -> None:
    job = ended(service, "noise", np.random.default_rng(3).normal(100.0, 10.0, 60).round(6))
    assert "not shown to be better" in job["status_reason"]
    report = report_of(service, job)
    assert report["model"]["aliases"] == [] and report["tournament"]["is_better_than_baseline"] is False
    assert "do not promote it" in report["tournament"]["reason"]
    assert predict(service, "noise").status_code == 404
    assert predict(service, "noise/1").status_code == 200
    with service.client() as client:
        promoted = client.put("/v1/models/noise/aliases/champion", json={"version": 1})
        assert promoted.status_code in (200, 201), promoted.text
    assert predict(service, "noise").json()["predictions"][0]["model"]["version"] == 1
    assert report_of(service, job)["model"]["aliases"] == ["champion"]


def command(service: Running, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "app.cli.main", *arguments], cwd=service.data_dir.parent, text=True, timeout=120,
        env={**environment(service.data_dir, service.data_dir), "COLUMNS": "200"}, capture_output=True,
    )  # fmt: skip


def test_the_report_on_the_command_line(service: Running, learned: dict[str, Any]) -> None:
    shown = command(service, "report", learned["id"], "--server", service.url)
    assert shown.returncode == 0, shown.stderr
    reason = report_of(service, learned)["tournament"]["reason"]
    assert "random forest, Magpie" in shown.stdout and reason.split(".")[0] in " ".join(shown.stdout.split())
    printed = command(service, "report", learned["id"], "--json", "--server", service.url)
    assert json.loads(printed.stdout) == report_of(service, learned)
    unknown = command(service, "report", "job_nope", "--server", service.url)
    assert unknown.returncode == 4 and "job_not_found" in unknown.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(service: Running, learned: dict[str, Any], scheme: str) -> None:
    playwright: Callable[..., Any] = pytest.importorskip("playwright.sync_api").sync_playwright
    requests: list[str] = []
    faults: list[str] = []
    with playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = browser.new_context(color_scheme=scheme, java_script_enabled=False)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: faults.append(message.text))
        url = f"{service.url}/v1/fine-tuning/jobs/{learned['id']}/report"
        page.goto(url)
        assert page.get_by_role("heading", name="heats/1").is_visible()
        bars = page.locator("rect.bar").all()
        assert len(bars) >= 1 and all(bar.bounding_box()["width"] > 5 for bar in bars)
        assert page.get_by_role("heading", name="Ranking").is_visible()
        browser.close()
    assert requests == [url] and not faults
