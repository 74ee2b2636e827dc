"""The watch over jobs whose worker or message was lost; one runs in every API and worker process."""

import shutil
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.errors import BrokerUnavailable
from app.core.logging import get_logger
from app.core.metrics import LEASES_EXPIRED
from app.core.settings import Settings
from app.jobs.outbox import dispatch
from app.jobs.queue import JobQueue
from app.jobs.repository import JobRepository
from app.jobs.service import JobService
from app.jobs.sharing import JobSharing

log = get_logger(__name__)


def jobs_folder(settings: Settings) -> Path:
    """Where running jobs keep their input and checkpoints, one folder each, named by job id."""
    return settings.data_dir / "jobs"


def remove_folder(settings: Settings, job_id: str) -> None:
    shutil.rmtree(jobs_folder(settings) / job_id, ignore_errors=True)


class Reaper:
    """Any number may run at once: every move is a conditional UPDATE, a message too many is ignored by workers."""

    def __init__(
        self,
        factory: sessionmaker[Session],
        settings: Settings,
        queue: JobQueue,
        guard: AbstractContextManager[object] | None = None,
    ) -> None:
        """`guard` is held during every round of the thread."""
        self._guard = guard or nullcontext()
        self._factory = factory
        self._settings = settings
        self._queue = queue
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="job-reaper", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def run_once(self) -> list[str]:
        """End or re-queue lost jobs, send what was not sent, remove folders of ended jobs; ids queued again."""
        with open_session(self._factory) as session:
            queued = JobService(session, self._settings.jobs).reap()
        if queued:
            LEASES_EXPIRED.inc(len(queued))
            log.warning("jobs queued again", job_ids=queued)
        self._send_pending()
        self._sweep_folders()
        return queued

    def _loop(self) -> None:
        while not self._stop.wait(self._settings.jobs.reaper_interval_s):
            try:
                with self._guard:
                    self.run_once()
            except SQLAlchemyError as error:  # the database may be away for a while; the next round counts
                log.warning("reaper round failed", reason=str(error))
            except Exception:
                log.exception("reaper round failed")

    def _send_pending(self) -> None:
        try:
            empty = [queue for queue, n in self._queue.n_waiting().items() if n == 0]
            with open_session(self._factory, read_only=True) as session:
                pending = JobService(session, self._settings.jobs).pending_enqueue(empty_queues=empty)
                shared = {queue: JobSharing(session).wanting_help(queue) for queue in empty}
            dispatch(self._factory, self._settings.jobs, self._queue, pending)
            # One call for help at a time: a worker that follows it repeats it.
            for queue, job_ids in shared.items():
                for job_id in job_ids[:1]:
                    self._queue.send(job_id, queue)
        except BrokerUnavailable as error:
            log.warning("broker unreachable", reason=error.detail)

    def _sweep_folders(self) -> None:
        root = jobs_folder(self._settings)
        folders = [path.name for path in root.iterdir()] if root.is_dir() else []
        if not folders:
            return
        with open_session(self._factory, read_only=True) as session:
            ended = JobRepository(session).ended_among(folders)
        for job_id in ended:
            remove_folder(self._settings, job_id)
