"""What goes wrong: each fault by its name, with how it is done and undone."""

import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import redis
from sqlalchemy import update

from app.core.db import open_session
from app.core.errors import BrokerUnavailable
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.status import JobStatus
from app.learning.training.state import STATE_FILE
from tests.faults.points import Point, arm, disarm, is_armed
from tests.faults.servers import PostgresDatabase, SqliteDatabase
from tests.faults.stack import LEASE_S, Stack, Worker
from tests.faults.workload import Client, Submitted
from workers.attempt import CHECKPOINT_FOLDER

API_PATIENCE_S = 3.0
DISK_FULL = "disk_full"
TINY_FILE_BYTES = 4_000
"""Most bytes of a file of a process whose disk is full: room for a sentence, not for a model."""

Answer = str | None
"""What was done, in words; None when there was nothing to do it to."""


@dataclass(slots=True)
class Target:
    """What faults are done to: the stack, its client, the jobs that have not ended, and the choices of this round."""

    stack: Stack
    client: Client
    open_jobs: list[Submitted]
    rng: random.Random
    submit: Callable[[JobKind | None], Submitted]
    """Submit one more job, of that kind if one is named."""

    def worker_at_work(self) -> tuple[Worker, psutil.Process] | None:
        """Any worker that runs a job, with the process that does the work."""
        found = [(worker, process) for worker in self.stack.workers for process in worker.at_work()]
        return self.rng.choice(found) if found else None

    def job_of(self, process: psutil.Process) -> Submitted | None:
        """The job whose folder a process works in."""
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            return next((job for job in self.open_jobs if job.job_id and job.job_id in words), None)
        return None


def kill_work(target: Target) -> Answer:
    found = target.worker_at_work()
    if found is None:
        return None
    with suppress(psutil.NoSuchProcess):
        found[1].kill()
        return "the process that does the work gets SIGKILL"
    return None


def kill_after_checkpoint(target: Target) -> Answer:
    """Most kills hit a process that still imports; these leave a state of its own from which the next one goes on."""
    found = target.worker_at_work()
    with suppress(psutil.Error, OSError):
        if found is not None:
            state = Path(found[1].cmdline()[-1]) / CHECKPOINT_FOLDER / STATE_FILE
            if state.stat().st_mtime > found[1].create_time():
                time.sleep(target.rng.uniform(0.0, 0.5))
                found[1].kill()
                return "a training gets SIGKILL after it has written a checkpoint"
    return None


def kill_supervisor(target: Target) -> Answer:
    found = target.worker_at_work()
    if found is None:
        return None
    with suppress(psutil.NoSuchProcess):
        parent = found[1].parent()
        if parent is not None and parent.pid not in (1, found[0].process.pid):
            parent.kill()
            return "the pool process that supervises a job gets SIGKILL"
    return None


def kill_worker(target: Target) -> Answer:
    target.stack.replace(_any_worker(target), kill=True, whole_tree=False)
    return "the main process of a worker gets SIGKILL; its pool process goes on alone"


def kill_tree(target: Target) -> Answer:
    target.stack.replace(_any_worker(target), kill=True)
    return "all processes of a worker get SIGKILL"


def stop_worker(target: Target) -> Answer:
    target.stack.replace(_any_worker(target), kill=False)
    return "a worker gets SIGTERM and hands its job back"


def freeze_tree(target: Target) -> Answer:
    """Beyond the lease: when it wakes, another worker has its job."""
    found = target.worker_at_work()
    if found is None:
        return None
    return _freeze(target, found[0].tree(), "a worker with its job")


def freeze_supervisor(target: Target) -> Answer:
    """The work goes on and ends; who is to record it wakes too late."""
    found = target.worker_at_work()
    with suppress(psutil.NoSuchProcess):
        parent = found[1].parent() if found is not None else None
        if parent is not None and parent.pid != 1:
            return _freeze(target, [parent], "a supervisor")
    return None


def _freeze(target: Target, processes: list[psutil.Process], what: str) -> str:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()

    def wake() -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    seconds = LEASE_S + target.rng.uniform(1.5, 4.0)
    target.stack.later(seconds, wake)
    return f"{what} gets SIGSTOP, SIGCONT after {seconds:.1f} s (lease {LEASE_S:g} s)"


def restart_broker(target: Target) -> Answer:
    broker = target.stack.broker
    broker.resume()
    broker.kill()
    target.stack.later(target.rng.uniform(0.0, 3.0), broker.start)
    return "the broker gets SIGKILL and is started again"


def flush_broker(target: Target) -> Answer:
    try:
        target.stack.broker.flush()
    except redis.RedisError:  # it is down or paused
        return None
    return "FLUSHALL: all messages are gone"


def pause_broker(target: Target) -> Answer:
    broker, seconds = target.stack.broker, target.rng.uniform(1.0, 5.0)
    broker.pause()
    target.stack.later(seconds, broker.resume)
    return f"the broker does not answer for {seconds:.1f} s"


def restart_database(target: Target) -> Answer:
    database = target.stack.database
    if not isinstance(database, PostgresDatabase):
        return None
    crash = target.rng.random() < 0.5
    (database.crash if crash else database.stop)()
    target.stack.later(target.rng.uniform(0.0, 2.0), database.start)
    return "PostgreSQL crashes (SIGQUIT)" if crash else "PostgreSQL is stopped (SIGINT)"


def lock_database(target: Target) -> Answer:
    database = target.stack.database
    if not isinstance(database, SqliteDatabase):
        return None
    seconds = target.rng.uniform(0.5, LEASE_S + 1.5)
    holder = database.lock(seconds)
    target.stack.later(seconds + 0.5, lambda: _reap(holder))
    return f"another process keeps SQLite locked for {seconds:.1f} s"


def _reap(process: "subprocess.Popen[bytes]") -> None:
    process.wait()


def kill_api(target: Target) -> Answer:
    target.stack.end_api(signal.SIGKILL)
    return "the API gets SIGKILL"


def stop_api(target: Target) -> Answer:
    target.stack.end_api(signal.SIGTERM)
    return "the API gets SIGTERM"


def freeze_api(target: Target) -> Answer:
    """Clients give up waiting and ask again; when it wakes, it has both requests."""
    return _freeze(target, target.stack.api.tree(), "the API") if target.stack.api is not None else None


def kill_api_at(point: Point) -> Callable[[Target], Answer]:
    def inject(target: Target) -> Answer:
        arm(target.stack.points, point)
        request = target.submit(JobKind.BULK_PREDICTION if point is Point.INPUT_STORED else None)
        deadline = time.monotonic() + API_PATIENCE_S  # it may come to the point after its answer
        while is_armed(target.stack.points, point) and time.monotonic() < deadline:
            time.sleep(0.05)
        if disarm(target.stack.points, point):
            return None
        return f"the API that took a request ({request.task.label}) gets SIGKILL at the point '{point}'"

    return inject


def die_at(point: Point) -> Callable[[Target], Answer]:
    def inject(target: Target) -> Answer:
        arm(target.stack.points, point)
        return f"the next process at the point '{point}' gets SIGKILL"

    return inject


def fill_store(target: Target) -> Answer:
    arm(target.stack.points, Point.STORE_FULL)
    return "the store has no room for the next object (ENOSPC)"


def fill_disk(target: Target) -> Answer:
    found = target.worker_at_work()
    if found is None or (job := target.job_of(found[1])) is None:
        return None
    try:
        found[1].rlimit(resource.RLIMIT_FSIZE, (TINY_FILE_BYTES, resource.RLIM_INFINITY))
    except (psutil.Error, OSError):
        return None
    if target.rng.random() < 0.5:
        job.may_fail_with.add(DISK_FULL)
        return f"no file of a job's process may have more than {TINY_FILE_BYTES} bytes (RLIMIT_FSIZE)"
    seconds = target.rng.uniform(0.2, 1.0)
    job.may_fail_with.add(DISK_FULL)

    def make_room() -> None:
        with suppress(psutil.Error, OSError):
            found[1].rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    target.stack.later(seconds, make_room)
    return f"the same for {seconds:.1f} s"


def deliver_again(target: Target) -> Answer:
    jobs = [job for job in target.open_jobs if job.job_id]
    if not jobs:
        return None
    job, times = target.rng.choice(jobs), target.rng.randint(1, 3)
    with suppress(BrokerUnavailable):
        for _ in range(times):
            target.client.here.queue.send(job.job_id)
        return f"the message of a job comes {times} more times"
    return None


def step_clock(target: Target) -> Answer:
    """All clocks jump, as far as leases can tell: those that run now seem to have ended, or to last for an hour."""
    seconds = target.rng.choice([-3600, 3600])

    def shift() -> int:
        held = Job.lease_expires_at.is_not(None), Job.status == JobStatus.RUNNING
        with open_session(target.client.here.sessions) as session:
            rows = session.query(Job).where(*held).all()
            for row in rows:
                assert row.lease_expires_at is not None
                statement = update(Job).where(Job.id == row.id, Job.fencing_token == row.fencing_token)
                session.execute(statement.values(lease_expires_at=row.lease_expires_at + timedelta(seconds=seconds)))
            return len(rows)

    if not target.client.patiently(shift):
        return None
    return f"the clock jumps by {-seconds} s while leases are held"


def wrong_clock(target: Target) -> Answer:
    seconds = target.rng.choice([-600.0, -5.0, 5.0, 600.0])
    target.stack.replace(_any_worker(target), kill=True, clock_s=seconds)
    return f"a worker is killed; the next one's clock is wrong by {seconds:+g} s"


def pause_job(target: Target) -> Answer:
    jobs = [job for job in target.open_jobs if job.task.kind is JobKind.FINE_TUNING]
    if not jobs:
        return None
    job, client = target.rng.choice(jobs), target.client

    if not client.ask(job, "pause"):  # it has ended meanwhile
        return None
    target.stack.later(target.rng.uniform(0.2, 6.0), lambda: client.ask(job, "resume"))
    return "a job is paused, and resumed later"


def cancel_job(target: Target) -> Answer:
    if not target.open_jobs:
        return None
    job, client = target.rng.choice(target.open_jobs), target.client

    job.may_end_as.add(JobStatus.CANCELLED)
    return "a job is cancelled" if client.ask(job, "cancel") else None


def _any_worker(target: Target) -> Worker:
    """One at work if there is one: to stop an idle worker says little."""
    found = target.worker_at_work()
    return found[0] if found is not None else target.rng.choice(target.stack.workers)


@dataclass(frozen=True, slots=True)
class Fault:
    """`weight`: how often it is drawn. `point`: it counts only once a process has come along.

    What users do is drawn like a fault and not counted as one.
    """

    name: str
    inject: Callable[[Target], Answer]
    weight: float
    point: Point | None = None
    is_fault: bool = True


FAULTS = (
    Fault("training process killed", kill_work, 4),
    Fault("training killed after a checkpoint", kill_after_checkpoint, 4),
    Fault("supervisor killed", kill_supervisor, 3),
    Fault("worker killed", kill_worker, 2),
    Fault("whole tree killed", kill_tree, 3),
    Fault("worker told to stop", stop_worker, 2),
    Fault("worker frozen beyond its lease", freeze_tree, 2),
    Fault("supervisor frozen beyond its lease", freeze_supervisor, 2),
    Fault("broker restarted", restart_broker, 3),
    Fault("broker emptied", flush_broker, 4),
    Fault("broker paused", pause_broker, 3),
    Fault("database restarted", restart_database, 4),
    Fault("database locked", lock_database, 4),
    Fault("API killed", kill_api, 2),
    Fault("API told to stop", stop_api, 1),
    Fault("API frozen", freeze_api, 1),
    Fault("API killed between input and row", kill_api_at(Point.INPUT_STORED), 1),
    Fault("API killed before the commit", kill_api_at(Point.UNCOMMITTED), 2),
    Fault("API killed between commit and message", kill_api_at(Point.COMMITTED), 3),
    Fault("API killed before it notes the message", kill_api_at(Point.SENT), 2),
    Fault("killed after the claim", die_at(Point.CLAIMED), 2, Point.CLAIMED),
    Fault("killed in the upload", die_at(Point.UPLOADING), 2, Point.UPLOADING),
    Fault("killed between upload and row", die_at(Point.UPLOADED), 3, Point.UPLOADED),
    Fault("killed between part and row", die_at(Point.PART_STORED), 2, Point.PART_STORED),
    Fault("killed before the message is acknowledged", die_at(Point.ENDED), 2, Point.ENDED),
    Fault("disk of the job full", fill_disk, 2),
    Fault("store full", fill_store, 1, Point.STORE_FULL),
    Fault("message delivered again", deliver_again, 4),
    Fault("clock jumps", step_clock, 3),
    Fault("worker with a wrong clock", wrong_clock, 1),
    Fault("job paused and resumed", pause_job, 3, is_fault=False),
    Fault("job cancelled", cancel_job, 1, is_fault=False),
)
