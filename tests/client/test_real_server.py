"""The client, the calculator and the estimator with a real server, broker, worker and the shipped models."""

import asyncio
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError

from app.core.settings import PROJECT_ROOT, Settings
from app.predictions.examples import NACL_CIF
from tests.client.test_materials import NACL, OPTIMADE
from tests.e2e.conftest import Running, running_up
from tests.forked import Forks
from xtalforge_client import AsyncClient, Client, Conflict, InputsFailed, JobFailed, NotFound, ServerError
from xtalforge_client.ase import XtalforgeCalculator

README = PROJECT_ROOT / "README.md"
ENERGY = "cgcnn-formation-energy"
CATIONS, ANIONS = ("Li", "Na", "K", "Rb", "Mg", "Ca"), ("F", "Cl", "Br", "O", "S", "Se")
FORMULAS = [cation + anion for cation in CATIONS for anion in ANIONS]
LABELS = [10.0 + 3 * i + j for i, _ in enumerate(CATIONS) for j, _ in enumerate(ANIONS)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Running]:
    with running_up(tmp_path_factory.mktemp("up"), Settings().models_store, forks=forks) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Running) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture(scope="module")
def dataset_id(client: Client) -> str:
    rows = "\n".join(json.dumps({"composition": f, "k_vrh": y}) for f, y in zip(FORMULAS, LABELS, strict=True))
    return client.datasets.create(("moduli.jsonl", rows.encode()), "k_vrh", name="moduli").id


def test_all_kinds_of_materials_agree(client: Client) -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    answer = client.predict([NACL, NACL.as_dict(), atoms, atoms.todict(), NACL.to(fmt="cif"), NACL.to(fmt="poscar")],
                            models=[ENERGY])  # fmt: skip
    assert not answer.errors
    values = [each.value for each in answer.predictions]
    assert len(values) == 6 and np.ptp(values) < 1e-3
    mixed = client.predict([OPTIMADE, "SrTiO3", "garbage!"], chunk_size=1)
    assert {each.input_id for each in mixed.predictions} == {"mp-1", "1"}
    assert [each.input_id for each in mixed.errors] == ["2"]


def test_files_tables_vectors_and_suggestions(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "NaCl.cif"
    file.write_text(NACL_CIF)
    assert client.predict_files([file], models=[ENERGY]).predictions[0].input_id == "NaCl.cif"
    frame = client.predict_frame(pd.DataFrame({"formula": ["NaCl", "no!"]}), properties=["formation_energy_per_atom"])
    assert frame.loc[0, "formation_energy_per_atom"] < -1 and frame["error"].notna().tolist() == [False, True]
    vectors = client.embed([NACL, file], ENERGY, chunk_size=1)
    assert [each.input_id for each in vectors.embeddings] == ["0", "NaCl.cif"]
    assert len(vectors.embeddings[0].vector) == vectors.dimension
    with pytest.raises(InputsFailed):
        client.embed("no!", ENERGY)
    assert client.read_structures([NACL]).structures[0].n_sites == 8
    assert client.read_structure_files([file]).structures[0].formula == "ClNa"
    found = client.suggest("elemnet-formation-energy", FORMULAS, count=3)
    assert [each.rank for each in found.suggestions] == [1, 2, 3]


def test_models_and_aliases(client: Client, tmp_path: Path) -> None:
    names = {model.name for model in client.models.list(property="formation_energy_per_atom")}
    assert ENERGY in names
    champion = client.models.alias(ENERGY)
    assert client.models.version(ENERGY, champion.version).name == ENERGY
    assert [each.version for each in client.models.versions(ENERGY)] == [2, 1]
    assert client.models.card(ENERGY, 1).markdown.startswith("#")
    assert client.models.lineage(ENERGY, 2).ancestors[0].version == 1
    assert client.models.save(ENERGY, 1, tmp_path / "model.zip").read_bytes().startswith(b"PK")
    with pytest.raises(NotFound, match="model_not_found"):
        client.models.get("nope")


def test_a_script_that_is_run_again_gets_the_job_it_made_before(client: Client, dataset_id: str) -> None:
    wish: dict[str, Any] = {"method": "automl_pa", "idempotency_key": "run-1"}
    job = client.fine_tuning.create(dataset_id, "again", **wish)
    assert client.fine_tuning.create(dataset_id, "again", **wish).id == job.id
    client.fine_tuning.cancel(job.id)
    with pytest.raises(JobFailed, match="cancelled"):
        client.fine_tuning.wait(job.id, timeout_s=60)
    with pytest.raises(Conflict, match="job_not_cancellable"):
        client.fine_tuning.cancel(job.id)


def test_jobs_over_files(client: Client, dataset_id: str, tmp_path: Path) -> None:
    job = client.bulk_predictions.create(dataset_id, models=["elemnet-formation-energy"])
    objective = {"property": "formation_energy_per_atom", "goal": "minimise"}
    screening = client.screenings.create(FORMULAS, objectives=[objective], count=5)
    table = ("candidates.csv", "\n".join(["formula", *FORMULAS]).encode())
    assert client.screenings.create(table, objectives=[objective]).wish.count == 100
    assert {each.id for each in client.screenings.list()} > {client.screenings.cancel(screening.id).id}
    client.bulk_predictions.cancel(job.id)
    with pytest.raises(JobFailed, match="cancelled"):
        client.bulk_predictions.wait(job.id, timeout_s=120)
    with pytest.raises(Conflict, match="job_not_finished"):
        client.bulk_predictions.save_results(job.id, tmp_path / "bulk.csv")
    results = pd.read_csv(client.bulk_predictions.save_results(job.id, tmp_path / "bulk.csv", partial=True))
    assert {"input_id", "value", "unit"} <= set(results)


def test_a_job_that_cannot_be(client: Client, dataset_id: str) -> None:
    with pytest.raises(ServerError, match=r"\[invalid|\[input"):
        client.fine_tuning.create(dataset_id, "impossible", method="tl1")


def test_async_client(service: Running) -> None:
    async def use() -> list[float]:
        async with AsyncClient(service.url) as client:
            names = [each.name async for each in client.models.list()]
            assert ENERGY in names
            answer = await client.predict(FORMULAS, models=["elemnet-formation-energy"], chunk_size=5, parallel=3)
            return [each.value for each in answer.predictions]

    with Client(service.url) as client:
        blocking = client.predict(FORMULAS, models=["elemnet-formation-energy"])
    assert asyncio.run(use()) == pytest.approx([each.value for each in blocking.predictions], abs=1e-5)


def test_calculator(client: Client) -> None:
    cell = bulk("NaCl", "rocksalt", a=5.64)
    cell.calc = XtalforgeCalculator(client)
    energy = cell.get_potential_energy()
    assert energy == pytest.approx(2 * cell.calc.results["formation_energy_per_atom"]) and energy < -2
    assert cell.calc.predictions[0].unit == "eV/atom"
    double = cell.repeat((2, 1, 1))
    double.calc = XtalforgeCalculator(client, models=[ENERGY, "cgcnn-band-gap"])
    assert double.get_potential_energy() == pytest.approx(2 * energy, abs=1e-3)
    assert double.calc.results["band_gap"] > 1
    with pytest.raises(PropertyNotImplementedError):
        cell.get_forces()
    cell.pbc = False
    with pytest.raises(InputsFailed, match="missing_cell"):
        cell.get_potential_energy()


def test_readme(service: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python, block after block, and what the estimator of the last one does further."""
    monkeypatch.setenv("XTALFORGE_URL", service.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "NaCl.cif").write_text(NACL_CIF)
    pd.DataFrame({"composition": FORMULAS, "k_vrh": LABELS}).to_csv("moduli.csv", index=False)
    names: dict[str, Any] = {
        "structure": NACL, "atoms": bulk("NaCl", "rocksalt", a=5.64), "optimade_response": {"data": [OPTIMADE]},
        "frame": pd.DataFrame({"formula": FORMULAS}), "formulas": FORMULAS, "values": LABELS,
    }  # fmt: skip
    section = README.read_text().split("\n## Python client\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block.replace('"http://127.0.0.1:8000"', ""), "README.md", "exec"), names)
    names["atoms"].calc.client.close()
    assert not names["answer"].errors and len(names["table"]) == 36 and names["done"].result
    model = names["model"]
    assert names["predicted"].shape == (2,) and names["intervals"].shape == (2, 2)
    assert model.unit_ == "GPa" and model.model_ == "stiffness/1" and model.score(FORMULAS, LABELS) > 0.5
    with pytest.raises(InputsFailed):
        model.predict(["no!"])
    with Client() as client:
        assert client.fine_tuning.report(names["job"].id).model.name == "my-moduli"
        seen = client.models.alias("my-moduli")
        with pytest.raises(Conflict, match="precondition_failed"):
            client.models.delete_alias("my-moduli", "champion", seen=seen.model_copy(update={"revision": 99}))


def _pressed(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(method, path, body) of every example of a body in JSON, as Swagger UI sends it."""
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is None:
                continue
            name = body["schema"].get("$ref", "").rpartition("/")[2]
            fields = schemas.get(name, {}).get("properties", {})
            composed = {key: field["examples"][0] for key, field in fields.items() if field.get("examples")}
            examples = [each["value"] for each in body.get("examples", {}).values()]
            for example in examples or schemas.get(name, {}).get("examples") or [composed]:
                yield method, path, example


def test_examples_of_the_documentation_succeed(service: Running, client: Client, dataset_id: str) -> None:
    """As they stand; the ids of data sets, which nobody can know beforehand, are replaced."""
    document = httpx.get(f"{service.url}/openapi.json", timeout=30).json()
    client.models.set_alias("elemnet-formation-energy", "champion", 2, reason="something to roll back")
    pressed = list(_pressed(document))
    assert len(pressed) >= 15
    with httpx.Client(base_url=service.url, timeout=60) as plain:
        for method, path, body in pressed:
            known = {"dataset_id": dataset_id} if "dataset_id" in body else {}
            answer = plain.request(
                method, path.format(name="elemnet-formation-energy", alias="champion"), json={**body, **known}
            )
            assert answer.is_success, (method, path, body, answer.text)
        for job in [*client.screenings.list("queued"), *client.screenings.list("running")]:
            client.screenings.cancel(job.id)
        for job in [*client.fine_tuning.list("queued"), *client.fine_tuning.list("running")]:
            client.fine_tuning.cancel(job.id)


def _examples_beside(folder: Path, service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROJECT_ROOT / "app/client/examples", folder, dirs_exist_ok=True)
    (folder / "candidates.csv").write_text("name,formula\na,NaCl\nb,SrTiO3\nc,no!\n")
    monkeypatch.setenv("XTALFORGE_URL", service.url)
    monkeypatch.chdir(folder)


def _check_table(folder: Path) -> None:
    predicted = pd.read_csv(folder / "predicted.csv")
    assert (predicted["formation_energy_per_atom"][:2] < -1).all() and predicted["error"].notna().tolist()[2]


def test_example_of_a_table(service: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _examples_beside(tmp_path, service, monkeypatch)
    command = [sys.executable, "predict_table.py", "candidates.csv", "predicted.csv"]
    subprocess.run(command, check=True, timeout=100)
    _check_table(tmp_path)


def test_example_for_snakemake(service: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("snakemake", reason="snakemake is not installed")
    _examples_beside(tmp_path, service, monkeypatch)
    subprocess.run([sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"], check=True, timeout=200)
    _check_table(tmp_path)


def test_example_for_jobflow(service: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobflow = pytest.importorskip("jobflow", reason="jobflow is not installed")
    _examples_beside(tmp_path, service, monkeypatch)
    monkeypatch.syspath_prepend(tmp_path)
    steps = importlib.import_module("jobflow_step")
    flow = steps.screening_flow([NACL, NACL.copy().apply_strain(0.4, inplace=False)], at_most=-1.5)
    answers = jobflow.run_locally(flow, ensure_success=True)
    kept = answers[flow.jobs[-1].uuid][1].output
    assert len(kept) == 1
