"""From a committed job row to a message, and the note that it left."""

from collections.abc import Iterable

from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.errors import BrokerUnavailable
from app.core.logging import get_logger
from app.core.settings import JobSettings
from app.jobs.kinds import JobKind
from app.jobs.queue import JobQueue
from app.jobs.repository import JobRepository
from app.jobs.service import JobService

log = get_logger(__name__)


def dispatch(factory: sessionmaker[Session], settings: JobSettings, queue: JobQueue, job_ids: Iterable[str]) -> int:
    """Send the jobs, each of which is committed already; how many messages left.

    An unreachable broker is no error here: the jobs stay queued in SQL and the reaper sends them later.
    """
    wanted = list(job_ids)
    if not wanted:
        return 0
    with open_session(factory, read_only=True) as session:
        kinds = JobRepository(session).kinds(wanted)
    sent = 0
    for job_id in wanted:
        try:
            queue.send(job_id, JobKind(kinds[job_id]).queue)
        except BrokerUnavailable as error:
            log.warning("message not sent", job_id=job_id, reason=error.detail)
            break
        with open_session(factory) as session:
            JobService(session, settings).mark_enqueued(job_id)
        sent += 1
    return sent
