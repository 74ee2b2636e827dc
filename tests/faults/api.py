"""The API with places where it can be made to die: `uvicorn tests.faults.api:app`."""

from app.bulk import service
from app.jobs import deps
from app.jobs.queue import JobQueue
from app.jobs.service import JobService
from app.main import app
from app.registry.store import ArtifactStore
from tests.faults.points import Point, die_after, die_before, is_watched

__all__ = ["app"]

BULK_CHUNK = 15
"""Rows of a part of a bulk prediction: few, so that much may happen between two parts."""

service.CHUNK_ROWS = BULK_CHUNK
if is_watched():
    die_after(ArtifactStore, "put_stream", Point.INPUT_STORED)
    die_after(JobService, "create", Point.UNCOMMITTED)
    die_before(deps, "dispatch", Point.COMMITTED)
    die_after(JobQueue, "send", Point.SENT)
