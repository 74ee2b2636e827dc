"""What must hold after a run: each job has ended once, and no answer was other than promised."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import select

from app.core.db import open_session
from app.core.settings import JobSettings, Settings
from app.jobs.errors import JobErrorCode
from app.jobs.models import Job
from app.jobs.status import TERMINAL, JobStatus
from benchmarks.endurance_client import JobRecord, Record
from benchmarks.endurance_kills import KILLS_OF_JOBS, Kill
from benchmarks.endurance_stack import Stack
from tests.faults.invariants import check_jobs, check_store
from tests.faults.workload import Client, Submitted, Task
from tests.workers.conftest import Installation

KILL_WINDOW_S = 20.0
"""Connections that break so soon after an API process was killed broke by that."""
_NO_ANSWER = 0


class _Viewer(Client):
    """What the invariants look at; nothing is submitted through it."""

    def __init__(self, here: Installation) -> None:
        self.here = here
        self._meanwhile = lambda: None


def broken_promises(records: Sequence[Record], jobs: Sequence[JobRecord], kills: Sequence[Kill]) -> list[str]:
    """Of the answers and events that users got, in words; alike ones are counted."""
    found: Counter[str] = Counter()
    for record in records:
        found.update(_of_record(record, kills))
    for job in jobs:
        found.update(f"job {job.ask.method}: {text}" for text in job.wrong)
        if job.job_id and JobStatus(job.status or JobStatus.QUEUED) not in TERMINAL:
            found[f"job {job.ask.method}: its events did not come to an end ({job.status or 'no answer'})"] += 1
    return [text if n == 1 else f"{text} ({n} times)" for text, n in found.most_common()]


def _of_record(record: Record, kills: Sequence[Kill]) -> Iterator[str]:
    for trouble in record.troubles:
        if not trouble.has_retry_after:
            yield f"{record.kind}: {trouble.what} without Retry-After"
        elif not trouble.what[0].isdigit() and not is_at_kill(trouble.at, kills):
            yield f"{record.kind}: {trouble.what} although no API process was killed"
    if record.wrong and not (record.status == _NO_ANSWER and record.troubles and is_at_kill(record.ended, kills)):
        yield f"{record.kind}: {record.wrong}"


def is_at_kill(at: float, kills: Iterable[Kill]) -> bool:
    """Whether a connection that broke then may have been one of a process that was killed."""
    return any(kill.kind == "API process" and 0 <= at - kill.at + 0.5 <= KILL_WINDOW_S for kill in kills)


def broken_jobs(stack: Stack, jobs: Sequence[JobRecord], kills: Sequence[Kill], models_store: Path) -> list[str]:
    """Promises that the database and the store break; the service has nothing to do any more."""
    settings = Settings(
        data_dir=stack.data_dir, database_url=stack.database_url or None, models_store=models_store, device="cpu"
    )
    here = Installation(settings)
    try:
        submitted = [_submitted(job, kills) for job in jobs if job.job_id]
        viewer = _Viewer(here)
        # What is left in the store was named by a row a moment ago: results of screenings stand in rows' documents.
        store = [text for text in check_store(viewer) if not text.startswith("orphan")]
        return [*check_jobs(viewer, submitted, {}), *_not_ended(here), *store]
    finally:
        here.close()


def _submitted(job: JobRecord, kills: Sequence[Kill]) -> Submitted:
    """With a label of its own: no two of these jobs must come to the same."""
    task = Task(job.job_id, None if job.ask.method == "bulk" else {})
    request = Submitted(job.ask.key, task, job.ask.method, job.job_id)
    if job.cancel_asked:
        request.may_end_as.add(JobStatus.CANCELLED)
    n_hits = sum(kill.kind in KILLS_OF_JOBS and job.due <= kill.at <= job.finished for kill in kills)
    if n_hits >= JobSettings().max_attempts:
        request.may_fail_with.add(JobErrorCode.WORKER_LOST)
    return request


def _not_ended(here: Installation) -> list[str]:
    """Also of those whose acceptance was never heard of."""
    with open_session(here.sessions, read_only=True) as session:
        rows = session.execute(select(Job.id, Job.status).where(Job.status.not_in(TERMINAL))).all()
    return [f"{job_id}: lost: still {status}" for job_id, status in rows]
