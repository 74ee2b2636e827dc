"""A few faults of each kind against real processes, and that broken promises are seen."""

from pathlib import Path

import pytest
from sqlalchemy import delete, update

from app.core.db import open_session
from app.fine_tuning.schemas import FineTuningJobCreate
from app.fine_tuning.service import FineTuningService
from app.jobs.models import Job, JobEvent
from app.jobs.status import JobStatus
from app.registry.models import ModelVersion
from app.registry.service import RegistryService
from tests.faults.campaign import Campaign
from tests.faults.faults import FAULTS
from tests.faults.invariants import References, check_jobs, check_store
from tests.faults.stack import Stack
from tests.faults.workload import BASE_TASK, Client, Submitted
from tests.registry.examples import make_manifest
from tests.workers.conftest import Installation

SHORT_FORM = (
    "whole tree killed", "killed between upload and row", "API killed between commit and message", "broker emptied",
    "training process killed",
)  # fmt: skip


def test_nothing_is_lost_and_nothing_is_done_twice(tmp_path: Path) -> None:
    stack = Stack("sqlite", tmp_path / "stack")
    try:
        faults = [fault for fault in FAULTS if fault.name in SHORT_FORM]
        campaign = Campaign(stack, 1, faults, [BASE_TASK], n_open=2)
        campaign.prepare()
        record = campaign.run_round(0, 4)
    finally:
        stack.close()
    assert record.broken == []
    assert len(record.faults) >= 3 and {name for name, _ in record.faults} <= set(SHORT_FORM)
    assert record.jobs.keys() == {JobStatus.SUCCEEDED} and record.attempts > record.jobs[JobStatus.SUCCEEDED]


@pytest.fixture
def ended(installation: Installation) -> tuple[Client, Submitted, References]:
    """A job that succeeded, and what it came to, without a worker."""
    client = Client(installation, lambda: None)
    request = Submitted("key", BASE_TASK, "mine")
    body = {"dataset_id": installation.dataset(), "model_name": request.model, **(BASE_TASK.request or {})}
    with open_session(installation.sessions) as session:
        service = FineTuningService(session, installation.store, installation.settings)
        request.job_id = service.create(FineTuningJobCreate.model_validate(body), request.key).id
    manifest = make_manifest("mine", property_key="k_vrh")
    with open_session(installation.sessions) as session:
        RegistryService(session, installation.store).register_version(
            manifest, b"weights", "card", "fine_tuning", job_id=request.job_id
        )
        session.add(
            JobEvent(
                job_id=request.job_id, seq=3, level="info", kind="status", message="Started.",
                data={"status": "running"},
            )
        )  # fmt: skip
        session.add(
            JobEvent(
                job_id=request.job_id, seq=4, level="info", kind="status", message="Done.", data={"status": "succeeded"}
            )
        )
        session.execute(update(Job).values(status=JobStatus.SUCCEEDED))
    references = {BASE_TASK.label: manifest.weights_sha256}
    assert check_jobs(client, [request], references) == [] and check_store(client) == []
    return client, request, references


def broken(ended: tuple[Client, Submitted, References], *statements: object) -> str:
    """What is said after these changes of the database."""
    client, request, references = ended
    with open_session(client.here.sessions) as session:
        for statement in statements:
            session.execute(statement)  # type: ignore[call-overload]
    return "; ".join(check_jobs(client, [request], references))


def test_a_lost_job_is_seen(ended: tuple[Client, Submitted, References]) -> None:
    assert "lost: still running" in broken(ended, update(Job).values(status=JobStatus.RUNNING))
    assert "failed (training_failed" in broken(
        ended, update(Job).values(status=JobStatus.FAILED, error_code="training_failed")
    )
    assert "0 rows instead of one" in broken(ended, update(Job).values(idempotency_key="another"))


def test_another_result_is_seen(ended: tuple[Client, Submitted, References]) -> None:
    ended[2][BASE_TASK.label] = "0" * 64
    assert "differs from that of an uninterrupted run" in broken(ended)


def test_a_version_that_is_missing_is_seen(ended: tuple[Client, Submitted, References]) -> None:
    client, request, references = ended
    with open_session(client.here.sessions) as session:
        session.execute(update(ModelVersion).values(job_id=None))
    assert any("0 versions instead of 1" in text for text in check_jobs(client, [request], references))


def test_events_that_do_not_walk_along_the_states_are_seen(ended: tuple[Client, Submitted, References]) -> None:
    assert "numbered [1, 2, 4]" in (told := broken(ended, delete(JobEvent).where(JobEvent.seq == 3)))
    assert "from queued to succeeded" in told


@pytest.mark.parametrize(
    ("seq", "data", "told"),
    [
        (3.1, {"epoch": 2}, "of epoch 2 after 2"),
        (3.1, {"epoch": 4}, "of epoch 4 after 2"),
        (2.1, {"epoch": 1}, "queued"),
    ],
)
def test_a_worker_that_lost_its_job_and_tells_of_its_work_is_seen(
    ended: tuple[Client, Submitted, References], seq: float, data: dict[str, int], told: str
) -> None:
    client, request, references = ended
    told_before = [(3.01, {"epoch": 1}), (3.02, {"epoch": 2})]
    with open_session(client.here.sessions) as session:
        events = [(float(event.seq), event.kind, event.data) for event in session.query(JobEvent)]
        session.execute(delete(JobEvent))
        events += [(at, "epoch", each) for at, each in told_before]

    def tell(events: list[tuple[float, str, dict[str, int]]]) -> str:
        with open_session(client.here.sessions) as session:
            session.execute(delete(JobEvent))
            for number, (_, kind, each) in enumerate(sorted(events, key=lambda event: event[0]), 1):
                session.add(JobEvent(job_id=request.job_id, seq=number, level="info", kind=kind, message="", data=each))
        return "; ".join(check_jobs(client, [request], references))

    assert tell(events) == ""
    assert told in tell([*events, (seq, "epoch", data)])


def test_objects_that_are_missing_are_seen(ended: tuple[Client, Submitted, References]) -> None:
    client, _, _ = ended
    client.here.store.put_new("artifacts/0/weights.safetensors", b"nobody's")
    assert check_store(client) == []
    with open_session(client.here.sessions, read_only=True) as session:
        path = session.query(ModelVersion).one().weights_sha256
    client.here.store.delete(f"artifacts/{path}/weights.safetensors")
    assert any("missing in the store" in text for text in check_store(client))
