"""One attempt at a job: claim it, keep the lease, relay events, obey cancellation, record the outcome."""

import signal
import time
from collections.abc import Callable

from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from app.core.db import open_session
from app.core.disk import is_disk_full
from app.core.errors import XtalforgeError
from app.core.logging import get_logger
from app.core.tracing import span
from app.jobs.errors import JobErrorCode, LeaseLost
from app.jobs.kinds import JobKind
from app.jobs.outbox import dispatch
from app.jobs.reaper import jobs_folder, remove_folder
from app.jobs.service import JobService
from app.jobs.sharing import JobSharing
from app.jobs.status import JobStatus
from workers.attempt import DISK_FULL, STOPPED, SUCCEEDED, AttemptFolder
from workers.bulk import BulkWork
from workers.failure import DISK_FULL_DETAIL
from workers.lease import Ending, Helping, Leading, Lease, served_queues
from workers.process import JobProcess
from workers.runtime import WorkerContext
from workers.screening import ScreeningWork
from workers.training import TrainingWork
from workers.work import Work

log = get_logger(__name__)

TICK_S = 0.2
RETRY_S = 1.0
DATABASE_AWAY = (OperationalError, InterfaceError)
WORKS: dict[JobKind, type[Work]] = {
    JobKind.FINE_TUNING: TrainingWork,
    JobKind.BULK_PREDICTION: BulkWork,
    JobKind.SCREENING: ScreeningWork,
}


def run_attempt(worker: WorkerContext, job_id: str) -> None:
    """Claim the job and see it to an end, or help whoever does; nothing happens when it is not to be had."""
    with bound_contextvars(job_id=job_id):
        with open_session(worker.factory) as session:
            jobs = JobService(session, worker.settings.jobs)
            token = jobs.claim(job_id, worker.worker_id)
            helps = None
            if token is None and job_id not in _given_up:
                helps = JobSharing(session).join(job_id, worker.worker_id, served_queues(worker))
            job, origin = jobs.get(job_id), jobs.origin(job_id)
        own = worker.of_tenant(job.tenant)
        attempt: Attempt
        if token is not None:
            attempt = Attempt(Leading(own, job_id, token))
        elif helps is not None:
            attempt = HelperAttempt(Helping(own, job_id, helps, worker))
        else:
            log.info("job not claimed: it has ended, or others see to it")
            return
        with span("job", origin, job_id=job_id, worker=worker.worker_id), bound_contextvars(**origin):
            log.info("attempt begins", leads=token is not None)
            try:
                attempt.run()
                log.info("attempt ends")
            except LeaseLost:
                log.warning("lease lost; the attempt was stopped and wrote nothing more")


class Attempt:
    """Holds the lease of one job; every method raises LeaseLost once it is gone."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._worker = lease.worker
        self._settings = lease.worker.settings.jobs
        self._job_id = lease.job_id
        self._token = lease.token
        self._work: Work | None = None
        self._started_at = time.monotonic()
        self._renewed_at = self._started_at
        self._watched_at = self._started_at

    def run(self) -> None:
        work = None
        try:
            with open_session(self._worker.factory, read_only=True) as session:
                job = JobService(session, self._settings).get(self._job_id)
            work = WORKS[JobKind(job.kind)](self._lease, job, self._new_folder())
            self._work = work
            work.prepare(self._renew)
            self._work_and_record(work)
        except LeaseLost:
            raise
        except XtalforgeError as error:
            log.warning("job failed", code=error.code, reason=error.detail)
            self._fail(work, error.code, error.detail)
        except Exception as error:
            log.exception("attempt broke off")
            if is_disk_full(error):
                self._fail(work, JobErrorCode.DISK_FULL, DISK_FULL_DETAIL)
                return
            # Not sent at once: whatever is away for a while would use up all attempts within a second.
            self._release(work, f"The worker could not run the job ({_name(error)}).", send=False)

    def _new_folder(self) -> AttemptFolder:
        return AttemptFolder.create(jobs_folder(self._worker.settings) / self._job_id, self._token)

    def _work_and_record(self, work: Work) -> None:
        process = JobProcess(work.module, work.folder.path, self._settings.niceness)
        try:
            ending = self._supervise(work, process)
            if ending is not Ending.EXITED:
                process.stop()
        finally:
            process.stop(grace_s=0)
        self._conclude(work, ending, process.poll() or 0)

    def _conclude(self, work: Work, ending: Ending, exit_code: int) -> None:
        """Write how the attempt ended; the process is gone."""
        if ending is Ending.CANCELLED:
            self._write(lambda jobs, _: jobs.cancelled(self._job_id, self._token))
        elif ending is Ending.EXPIRED:
            detail = f"The job ran longer than {self._settings.max_run_s:g} s, the most this service allows."
            self._write(lambda jobs, _: jobs.expire(self._job_id, self._token, detail))
        elif ending is Ending.PAUSED:
            self._give_back(work, lambda jobs: jobs.paused(self._job_id, self._token))
            return
        else:
            self._record_exit(work, exit_code)
            return
        self._clean_up(work)

    def _supervise(self, work: Work, process: JobProcess) -> Ending:
        """Until the process ends or must be ended. The database may be away for as long as the lease lasts."""
        while True:
            has_exited = process.poll() is not None
            try:
                self._relay_events(work, process)
                if has_exited:
                    return Ending.EXITED
                if (wish := self._wish()) is not None:
                    return wish
                self._renew()
                work.look_after()
            except DATABASE_AWAY as error:
                log.warning("database unreachable", reason=str(error.orig))
                self._check_own_clock()
                time.sleep(RETRY_S)
            if time.monotonic() - self._started_at > self._settings.max_run_s:
                return Ending.EXPIRED
            time.sleep(TICK_S)

    def _relay_events(self, work: Work, process: JobProcess) -> None:
        events, position = process.unread_events()
        if not events:
            return
        work.keep(events)
        with open_session(self._worker.factory) as session:
            self._lease.hold(session)
            for event in work.record(session, events):
                self._lease.tell(session, event)
        process.mark_read(position)
        work.recorded(events)

    def _wish(self) -> Ending | None:
        """How somebody wants the attempt to end, if anybody does."""
        if time.monotonic() - self._watched_at < self._settings.cancel_poll_s:
            return None
        with open_session(self._worker.factory, read_only=True) as session:
            wish = self._lease.wish(session)
        self._watched_at = time.monotonic()
        return wish

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._renewed_at < self._settings.heartbeat_s:
            return
        with open_session(self._worker.factory) as session:
            self._lease.renew(session)
            if self._work is not None:
                self._work.renew(session)
        self._renewed_at = now

    def _check_own_clock(self) -> None:
        """Without the database nobody says that the lease is lost; by this clock it ran out."""
        if time.monotonic() - self._renewed_at > self._settings.lease_s:
            raise LeaseLost(self._job_id)

    def _record_exit(self, work: Work, exit_code: int) -> None:
        error = work.folder.read_error()
        if exit_code == SUCCEEDED and work.has_result():
            self._succeed(work)
        elif exit_code == DISK_FULL:
            self._fail(work, JobErrorCode.DISK_FULL, DISK_FULL_DETAIL)
        elif error is not None:
            self._fail(work, error.code, error.detail)
        elif exit_code in (STOPPED, -signal.SIGTERM):
            self._release(work, "The process of the job was told to stop from outside.")
        elif exit_code < 0:
            self._release(
                work,
                f"The process of the job was killed (signal {-exit_code}). Most often the machine ran out of memory: "
                f"{work.memory_advice}.",
            )
        else:
            detail = f"The process of the job ended with exit code {exit_code} and said nothing."
            self._fail(work, work.failure_code, detail)

    def _succeed(self, work: Work) -> None:
        """The result and the success of the job in one transaction: both are there, or neither is."""

        def write(jobs: JobService, session: Session) -> None:
            if jobs.held(self._job_id, self._token) is JobStatus.CANCELLING:
                jobs.cancelled(self._job_id, self._token)
                return
            outcome = work.finish(session)
            jobs.succeed(self._job_id, self._token, outcome.result, outcome.reason)

        self._write(write)
        self._clean_up(work)

    def _fail(self, work: Work | None, code: str, detail: str) -> None:
        self._write(lambda jobs, _: jobs.fail(self._job_id, self._token, code, detail))
        self._clean_up(work)

    def _release(self, work: Work | None, reason: str, *, send: bool = True) -> None:
        self._give_back(work, lambda jobs: jobs.release(self._job_id, self._token, reason), send=send)

    def _give_back(self, work: Work | None, action: Callable[[JobService], JobStatus], *, send: bool = True) -> None:
        """Write that this attempt is over, and do what the state that it leaves the job in asks for.

        Without `send` the next round of a reaper sends the message.
        """
        states: list[JobStatus] = []
        self._write(lambda jobs, _: states.append(action(jobs)))
        if states[-1].is_terminal:
            self._clean_up(work)
        elif states[-1] is JobStatus.QUEUED and send:
            dispatch(self._worker.factory, self._settings, self._worker.queue, [self._job_id])

    def _write(self, action: Callable[[JobService, Session], None]) -> None:
        """Run `action` in one transaction, again when the database was away or two versions took one number."""
        while True:
            try:
                with open_session(self._worker.factory) as session:
                    action(JobService(session, self._settings), session)
                return
            except (*DATABASE_AWAY, IntegrityError) as error:
                log.warning("outcome not written yet", reason=str(error.orig))
                self._check_own_clock()
                time.sleep(RETRY_S)

    def _clean_up(self, work: Work | None) -> None:
        """After the end of the job."""
        remove_folder(self._worker.settings, self._job_id)
        if work is not None:
            work.ended()


class HelperAttempt(Attempt):
    """Helps with a job that another worker leads: what it did is recorded, how it ended concerns only itself."""

    def _new_folder(self) -> AttemptFolder:
        return AttemptFolder.join(jobs_folder(self._worker.settings) / self._job_id, self._token)

    def run(self) -> None:
        try:
            super().run()
        finally:
            if self._work is not None:
                self._work.left()

    def _conclude(self, work: Work, ending: Ending, exit_code: int) -> None:
        if ending is Ending.EXITED and exit_code != SUCCEEDED:
            error = work.folder.read_error()
            self._fail(work, error.code if error else work.failure_code, error.detail if error else f"exit {exit_code}")

    def _fail(self, work: Work | None, code: str, detail: str) -> None:  # noqa: ARG002
        """The leader comes to the same rows and says what is wrong with them; this worker does not come again."""
        log.warning("could not help", code=code, reason=detail)
        _given_up.add(self._job_id)

    def _release(self, work: Work | None, reason: str, *, send: bool = True) -> None:  # noqa: ARG002
        self._fail(work, JobErrorCode.RUN_FAILED, reason)


_given_up: set[str] = set()
"""Jobs that this process could not help with."""


def _name(error: Exception) -> str:
    """The kind of error, with what the operating system says but without the path it says it of."""
    kind = type(error).__name__
    return f"{kind}: {error.strerror}" if isinstance(error, OSError) and error.strerror else kind
