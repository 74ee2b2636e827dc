"""What cannot be learned from is told before any training, with its cause."""

import io

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.errors import DatasetInvalid, InvalidJob, XtalforgeError
from app.core.settings import Settings
from app.datasets.service import DatasetService
from app.fine_tuning.schemas import FineTuningJobCreate
from app.fine_tuning.service import FineTuningService
from app.jobs.status import JobStatus
from app.registry.store import open_store
from tests.fine_tuning.conftest import Service

NAMES = [a + x for a in ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba") for x in ("F", "Cl", "Br", "I", "O", "S", "Se")]
VALUES = np.random.default_rng(0).uniform(10.0, 300.0, len(NAMES)).round(3).tolist()
Rows = list[tuple[str, float]]


def submit(sessions: sessionmaker[Session], settings: Settings, rows: Rows, **given: object) -> list[str]:
    """Upload and start; the warnings of the upload. Raises what either says."""
    store, text = open_store(settings), "composition,k_vrh\n" + "".join(f"{name},{value}\n" for name, value in rows)
    with open_session(sessions) as session:
        stored = DatasetService(session, store, settings).create("x.csv", io.BytesIO(text.encode()), "k_vrh")
        request = FineTuningJobCreate.model_validate(
            {"dataset_id": stored.dataset.id, "model_name": "mine", "method": "auto", "hyperparameters": given}
        )
        job = FineTuningService(session, store, settings).create(request, None)
    assert job.status is JobStatus.QUEUED
    return stored.report.warnings


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (list(zip(NAMES, VALUES, strict=True))[:5], DatasetInvalid, ["5 of 5 rows", "at least 20"]),
        ([(name, 100.0) for name in NAMES], DatasetInvalid, ["All labels are 100 GPa"]),
        ([("NaCl", 25.0)] * 60, DatasetInvalid, ["1 of 60 rows", "59 repeat others"]),
        ([("NaCl", value) for value in VALUES], InvalidJob, ["1 different formula:", "at least 10"]),
        ([("Fe", value) for value in VALUES], InvalidJob, ["1 different formula:", "'random'"]),
        ([(NAMES[i % 9], value) for i, value in enumerate(VALUES)], InvalidJob, ["9 different formulas", "compare"]),
        ([("nonsense!", value) for value in VALUES], DatasetInvalid, ["0 of 56", "56 invalid_composition", "line 2:"]),
        (list(zip(NAMES, [-1.0] * 56, strict=True)), DatasetInvalid, ["56 label_not_positive", "no logarithm"]),
    ],
    ids=[
        "5 rows",
        "constant",
        "all duplicates",
        "one formula",
        "one element",
        "few formulas",
        "unreadable",
        "negative",
    ],
)
def test_data_that_nothing_can_be_learned_from(
    rows: Rows, error: type[XtalforgeError], words: list[str], sessions: sessionmaker[Session], settings: Settings
) -> None:
    with pytest.raises(error) as caught:
        submit(sessions, settings, rows)
    assert type(caught.value) is error
    for each in words:
        assert each in caught.value.detail, caught.value.detail
    with open_session(sessions, read_only=True) as session:
        assert FineTuningService(session, open_store(settings), settings).page([], None, 10)[0] == []


def test_what_is_left_of_bad_data_is_used_and_the_rest_told(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    rows = [("nonsense!" if i % 5 < 2 else name, v) for i, (name, v) in enumerate(zip(NAMES, VALUES, strict=True))]
    (few, failed) = submit(sessions, settings, rows)
    assert "Only 33 rows" in few
    assert failed.startswith("23 of 56 rows cannot be used: 23 invalid_composition (line 2: ")


def test_labels_in_two_units_are_told(sessions: sessionmaker[Session], settings: Settings) -> None:
    rows = [(name, value * 1e9 if i % 3 else value) for i, (name, value) in enumerate(zip(NAMES, VALUES, strict=True))]
    with pytest.raises(
        DatasetInvalid, match=r"two units: 66% of them \(such as .*e\+11\) look as if in Pa, the others"
    ):
        submit(sessions, settings, rows)


def test_a_named_base_model_must_be_of_use(service: Service) -> None:
    service.add_shipped()
    structures, compositions = service.add_dataset(), service.add_dataset(input_kind="composition")
    ask = {"model_name": "mine", "method": "auto"}
    named = service.submit(dataset_id=structures, base_model="cgcnn-band-gap", method="auto", model_name="one")
    chosen = service.submit(dataset_id=structures, method="auto", model_name="all")
    assert named["base_model"] is None and [each["name"] for each in named["sources"]] == ["cgcnn-band-gap"]
    assert [each["name"] for each in chosen["sources"]] == ["cgcnn-band-gap", "cgcnn-formation-energy"]
    problem = service.submit(422, dataset_id=compositions, base_model="cgcnn-band-gap", **ask)
    assert problem["code"] == "input_kind_mismatch"
    service.add_model("trees", "k_vrh", source="fine_tuning", architecture="baseline")
    service.add_model("strict", "k_vrh", source="fine_tuning", graph={"ties": "strict"})
    for name, words in (("trees", "trees/1 (baseline)"), ("strict", "on other graphs")):
        problem = service.submit(422, dataset_id=structures, base_model=name, **ask)
        assert problem["code"] == "invalid_job" and words in problem["detail"], problem["detail"]


def test_auto_takes_no_source_that_has_learned_the_labels(service: Service) -> None:
    dataset_id = service.add_dataset()
    with open_session(service.sessions) as session:
        sha256 = DatasetService(session, service.store, service.settings).get(dataset_id).content_sha256
    service.add_model("learned", "k_vrh", source="fine_tuning", trained_on=sha256)
    service.add_model("energies", "formation_energy_per_atom", source="fine_tuning", trained_on=sha256)
    ask = {"dataset_id": dataset_id, "method": "auto"}
    problem = service.submit(422, model_name="mine", base_model="learned", **ask)
    assert problem["code"] == "invalid_job" and "learned was trained on this very data set" in problem["detail"]
    service.submit(model_name="mine", base_model="energies", **ask)
    service.submit(model_name="other", base_model="learned", dataset_id=service.add_dataset(), method="auto")
