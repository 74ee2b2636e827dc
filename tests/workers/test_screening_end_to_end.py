"""Screenings through a real broker, a real Celery worker and its processes."""

import io
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from app.core.db import open_session
from app.jobs.outbox import dispatch
from app.jobs.status import JobStatus
from app.predictions.directory import ModelDirectory
from app.registry.service import RegistryService
from app.screening import service as service_module
from app.screening.schemas import ResultScope, ScreeningCreate, ScreeningRead
from app.screening.service import ScreeningService
from app.structures.detect import StructureFormat
from app.structures.reader import read_structure
from tests.tiny_models import COMPOSITION_MODEL, tiny_models
from tests.workers.conftest import Installation, processes_below, wait_until

__all__ = ["tiny_models"]

CHUNK = 10
PEROVSKITES = {
    "generator": {
        "kind": "prototypes", "prototypes": ["perovskite"], "sites": {
            "A": ["Na", "K", "Rb", "Cs", "Ca", "Sr", "Ba", "La", "Y", "Pb"], "X": ["O", "S", "F"],
            "B": ["Ti", "Zr", "Hf", "Sn", "Si", "Ge", "Al", "Ga", "In", "Nb", "Ta", "V", "Mg", "Zn", "Ni"],
        },
    },
    "constraints": [{"property": "band_gap", "at_least": 1.0}],
    "objectives": [
        {"property": "formation_energy_per_atom", "goal": "minimise"}, {"property": "band_gap", "goal": "target",
        "target": 2.0},
    ],
    "min_probability": 0.2,
    "in_domain": False,
    "count": 25,
}  # fmt: skip


class Screenings:
    """Screenings of an installation, as its API makes them."""

    def __init__(self, here: Installation, tiny_models: Path) -> None:
        with open_session(here.sessions) as session:
            RegistryService(session, here.store).register_shipped(tiny_models)
        self.here = here
        directory = ModelDirectory(here.sessions, here.store)
        self.service = ScreeningService(here.sessions, here.store, here.settings, directory)

    def submit(self, body: dict[str, Any]) -> str:
        job_id = self.service.create(ScreeningCreate.model_validate(body), None).id
        assert dispatch(self.here.sessions, self.here.settings.jobs, self.here.queue, [job_id]) == 1
        return job_id

    def wait_for_end(self, job_id: str) -> ScreeningRead:
        def probe() -> ScreeningRead | None:
            job = self.service.get(job_id)
            return job if job.status.is_terminal else None

        return wait_until(probe, "the job's end")

    def table(self, job_id: str) -> pa.Table:
        return self.service.results(job_id, ResultScope.ALL)

    def crystals(self, job_id: str) -> dict[str, str]:
        """Formula by name of file."""
        with zipfile.ZipFile(io.BytesIO(b"".join(self.service.structures(job_id)))) as archive:
            texts = {name: archive.read(name).decode() for name in archive.namelist()}
        return {name: read_structure(text, StructureFormat.CIF).reduced_formula for name, text in texts.items()}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "CHUNK_ROWS", CHUNK)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_screening_killed_half_way_ends_as_one_that_was_not(
    any_installation: Installation, tiny_models: Path
) -> None:
    screenings = Screenings(any_installation, tiny_models)
    with any_installation.worker() as worker:
        whole = screenings.submit(PEROVSKITES)
        job = screenings.wait_for_end(whole)
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1), job.status_reason
        killed = screenings.submit(PEROVSKITES)
        wait_until(lambda: screenings.service.get(killed).progress.done >= CHUNK, "some parts")
        pool = worker.children() + processes_below(worker, "workers.screening_process")
        worker.kill()
        for process in pool:
            process.kill()
    assert not screenings.service.get(killed).status.is_terminal
    with any_installation.worker():
        again = screenings.wait_for_end(killed)
    assert (again.status, again.attempts) == (JobStatus.SUCCEEDED, 2), again.status_reason
    assert screenings.table(killed).equals(screenings.table(whole))
    assert again.counts == job.counts and job.counts is not None
    assert job.counts.selected == 25 and job.counts.candidates == job.progress.total == len(screenings.table(whole))
    crystals = screenings.crystals(killed)
    assert len(crystals) == 25 and crystals == screenings.crystals(whole)
    best = screenings.table(whole).slice(0, 25).to_pylist()
    assert [name.split("_", 1)[0] for name in crystals] == [f"{line['rank']:05d}" for line in best]
    assert list(crystals.values()) == [line["formula"] for line in best]
    kinds = [event.kind for event in any_installation.events(whole)]
    # The last parts may be told of together with what follows them.
    assert kinds[-1] == "status" and kinds.count("selecting") == 1 and "selecting" in kinds[-3:]
    screenings.service.delete(killed)
    assert [path for path in any_installation.store.list("bulk") if "input" in path] == []


def test_compositions_are_screened_and_bad_candidates_told(
    served: tuple[Installation, psutil.Process], tiny_models: Path
) -> None:
    screenings = Screenings(served[0], tiny_models)
    formulas = ["NaCl", "KCl", "Nonsense", "PbO", "MgO", "LiF"]
    job_id = screenings.submit(
        {
            "candidates": [{"id": f, "composition": f} for f in formulas],
            "objectives": [{"property": "formation_energy_per_atom", "goal": "maximise"}],
            "models": [COMPOSITION_MODEL],
            "elements": {"none_of": ["Pb"]},
            "in_domain": False,
            "diverse": True,
            "count": 3,
        }
    )
    job = screenings.wait_for_end(job_id)
    assert job.status is JobStatus.SUCCEEDED and job.counts is not None, job.status_reason
    counts = job.counts
    assert (counts.selected, counts.not_selected, counts.errors, counts.filtered) == (3, 1, 1, 1)
    by_name = {line["input_id"]: line for line in screenings.table(job_id).to_pylist()}
    assert by_name["PbO"]["reason"] == "has Pb" and by_name["Nonsense"]["status"] == "error"
    with pytest.raises(Exception, match="compositions"):
        screenings.service.structures(job_id)
