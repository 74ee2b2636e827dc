"""What must hold once every fault is undone and every job has had the time to end."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from app.bulk.models import BulkPart
from app.core.db import open_session
from app.core.errors import ArtifactCorrupt
from app.datasets.models import Dataset
from app.jobs.kinds import JobKind
from app.jobs.models import Job, JobEvent
from app.jobs.reaper import jobs_folder
from app.jobs.status import HELD, TRANSITIONS, JobStatus
from app.maintenance.gc import collect_garbage
from app.maintenance.source import TRASH
from app.registry.manifest import WEIGHTS_FILE
from app.registry.models import ModelVersion
from app.registry.service import RegistryService
from tests.faults.workload import Client, Submitted

References = dict[str, str]
"""By label of a task: what a run that nothing interrupts comes to, as sha256 of weights or lines."""


def check_jobs(client: Client, submitted: Sequence[Submitted], references: References) -> list[str]:
    """Every promise about the jobs themselves; the broken ones in words."""
    broken: list[str] = []
    with open_session(client.here.sessions, read_only=True) as session:
        for request in submitted:
            rows = session.scalars(select(Job).where(Job.idempotency_key == request.key)).all()
            if [row.id for row in rows] != [request.job_id]:
                broken.append(f"{request.key}: {len(rows)} rows instead of one, {[row.id for row in rows]}")
                continue
            broken += [f"{request.job_id} ({request.task.label}): {text}" for text in _job(session, rows[0], request)]
        broken += _version_numbers(session)
    for request in submitted:
        broken += [f"{request.job_id} ({request.task.label}): {text}" for text in _result(client, request, references)]
    return broken


def _job(session: Session, job: Job, request: Submitted) -> Iterable[str]:
    status = JobStatus(job.status)
    if not status.is_terminal:
        yield f"lost: still {status} ({job.status_reason})"
    elif status is JobStatus.FAILED and job.error_code not in request.may_fail_with:
        yield f"failed ({job.error_code}: {job.status_reason})"
    elif status not in request.may_end_as | {JobStatus.FAILED}:
        yield f"ended as {status} ({job.status_reason})"
    if status.is_terminal and (job.fencing_token, job.lease_expires_at) != (None, None):
        yield "it has ended and holds a lease"
    events = session.scalars(select(JobEvent).where(JobEvent.job_id == job.id).order_by(JobEvent.seq)).all()
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        yield f"events are numbered {[event.seq for event in events]}"
    yield from _states(job, [JobStatus(event.data["status"]) for event in events if event.kind == "status"])
    yield from _work(events)
    if status.is_terminal and events and events[-1].kind != "status":
        yield f"its last event is of kind {events[-1].kind}"
    versions = session.scalars(select(ModelVersion).where(ModelVersion.job_id == job.id)).all()
    expected = int(job.kind == JobKind.FINE_TUNING and status is JobStatus.SUCCEEDED)
    if len(versions) != expected:
        yield f"{len(versions)} versions instead of {expected}"


def _states(job: Job, told: Sequence[JobStatus]) -> Iterable[str]:
    """The events must walk along the state machine and end where the row stands."""
    if not told or told[0] is not JobStatus.VALIDATING or told[-1] != job.status:
        yield f"the row is {job.status}, the events say {[*told]}"
    for before, after in itertools.pairwise(told):
        if after not in TRANSITIONS[before]:
            yield f"the events go from {before} to {after}"


def _work(events: Sequence[JobEvent]) -> Iterable[str]:
    """What an attempt tells of its work, nobody else tells: each epoch follows the one before it, once.

    The next attempt goes on from a checkpoint, of which the one that died may not have told yet.
    """
    status, last, is_new_attempt = JobStatus.VALIDATING, 0, True
    for event in events:
        if event.kind == "status":
            status = JobStatus(event.data["status"])
            is_new_attempt |= "attempt" in event.data
        elif event.kind in ("epoch", "progress") and status not in HELD:
            yield f"event {event.seq} ({event.kind}) of work while it was {status}"
        if event.kind == "epoch":
            epoch = event.data["epoch"]
            if epoch != last + 1 and not is_new_attempt:
                yield f"event {event.seq} tells of epoch {epoch} after {last}"
            last, is_new_attempt = epoch, False


def count_resumed(client: Client, submitted: Sequence[Submitted]) -> int:
    """How many attempts went on from a checkpoint: their first epoch is not the first one."""
    ids = [request.job_id for request in submitted]
    query = select(JobEvent).where(JobEvent.job_id.in_(ids), JobEvent.kind.in_(("status", "epoch")))
    resumed, is_new_attempt = 0, False
    with open_session(client.here.sessions, read_only=True) as session:
        for event in session.scalars(query.order_by(JobEvent.job_id, JobEvent.seq)):
            if event.kind == "status":
                is_new_attempt |= "attempt" in event.data
            else:
                resumed += is_new_attempt and event.data["epoch"] > 1
                is_new_attempt = False
    return resumed


def _version_numbers(session: Session) -> Iterable[str]:
    """Numbers of a model count from 1 without gaps."""
    numbers: dict[str, list[int]] = {}
    for name, number in session.execute(select(ModelVersion.model_name, ModelVersion.version)):
        numbers.setdefault(name, []).append(number)
    for name, found in numbers.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"model {name} has the versions {sorted(found)}"


def _result(client: Client, request: Submitted, references: References) -> Iterable[str]:
    """What a job came to is what it comes to when nothing happens."""
    if client.job(request.job_id).status != JobStatus.SUCCEEDED:
        return
    try:
        digest = result_digest(client, request)
    except NoResultFound:  # told of already
        return
    except ArtifactCorrupt as error:
        yield f"its result cannot be read: {error.detail}"
        return
    if references.setdefault(request.task.label, digest) != digest:
        yield f"its result differs from that of an uninterrupted run ({digest})"


def result_digest(client: Client, request: Submitted) -> str:
    """sha256 of the weights or of the lines. Raises ArtifactCorrupt."""
    if request.task.kind is JobKind.BULK_PREDICTION:
        return client.lines_digest(request.job_id)
    with open_session(client.here.sessions, read_only=True) as session:
        version = session.scalars(select(ModelVersion).where(ModelVersion.job_id == request.job_id)).one()
        return RegistryService(session, client.here.store).files.artifact(version).manifest.weights_sha256


def check_store(client: Client) -> list[str]:
    """Clear away what nothing refers to, then compare the store with the rows: nothing too much, nothing missing."""
    here = client.here
    collect_garbage(here.engine, here.store, here.settings, timedelta(0))
    stored = {path for path in here.store.list() if not path.startswith(TRASH)}
    with open_session(here.sessions, read_only=True) as session:
        versions = session.scalars(select(ModelVersion)).all()
        named = Counter(session.scalars(select(BulkPart.path)))
        named.update(session.scalars(select(Dataset.artifact_path)))
    folders = tuple(f"{version.artifact_prefix}/" for version in versions)
    weights = {f"artifacts/{version.weights_sha256}/{WEIGHTS_FILE}" for version in versions}
    orphans = {path for path in stored if not path.startswith(folders)} - set(named) - weights
    broken = [f"orphan in the store: {path}" for path in sorted(orphans)]
    broken += [f"missing in the store: {path}" for path in sorted((set(named) | weights) - stored)]
    broken += [f"two rows name {path}" for path, n in named.items() if n > 1]
    folder = jobs_folder(here.settings)
    if folder.is_dir():
        broken += [f"folder of an ended job: {path.name}" for path in folder.iterdir()]
    return broken
