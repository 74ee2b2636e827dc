"""Rounds of faults: jobs are submitted, things go wrong, everything is undone, and what must hold is looked at."""

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from app.core.settings import PROJECT_ROOT
from app.jobs.kinds import JobKind
from app.jobs.status import JobStatus
from tests.faults.faults import DISK_FULL, FAULTS, Fault, Target
from tests.faults.invariants import References, check_jobs, check_store, count_resumed, result_digest
from tests.faults.points import Point
from tests.faults.stack import Stack
from tests.faults.workload import BASE_MODEL, BASE_TASK, TASKS, Client, Submitted, Task

FAULTS_PER_ROUND = 20
OPEN_JOBS = 3
LONGEST_GAP_S = 0.7
FAULT_PATIENCE_S = 20.0
"""How long a fault waits for something it can be done to."""
END_TIMEOUT_S = 240.0
"""A job that has not ended this long after the last fault is lost."""
PROCESS_TIMEOUT_S = 60.0


WISHES = {fault.name for fault in FAULTS if not fault.is_fault}


@dataclass(slots=True)
class RoundRecord:
    """What one round came to."""

    number: int
    seed: str
    commit: str
    """Of the code; empty where nobody knows."""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """Name and description, in order; only what really happened."""
    wishes: dict[str, int] = field(default_factory=dict)
    """What users did meanwhile."""
    jobs: dict[str, int] = field(default_factory=dict)
    """How many ended in each state."""
    attempts: int = 0
    resumed: int = 0
    """How many attempts went on from a checkpoint."""
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        return json.dumps(asdict(self))


class Campaign:
    """Rounds on one stack. Each depends on seed and number alone, as far as the machine's pace lets it."""

    def __init__(
        self, stack: Stack, seed: int, faults: Sequence[Fault] = FAULTS, tasks: Sequence[Task] = TASKS,
        n_open: int = OPEN_JOBS,
    ) -> None:  # fmt: skip
        self.stack = stack
        self.client = Client(stack.here, stack.go_on)
        self._seed = seed
        self._faults = faults
        self._kinds = tasks
        self._n_open = n_open
        self.references: References = {}

    def prepare(self) -> None:
        """Every kind of job once, and nothing goes wrong: the base model, and what others are compared with."""
        self.stack.keep_processes()
        self.client.upload_dataset()
        for task in (BASE_TASK, *(task for task in self._kinds if task is not BASE_TASK)):
            request = Submitted(f"reference-{task.label}", task, task.label if task is BASE_TASK else "reference")
            request.model = BASE_MODEL if task is BASE_TASK else _model_name("reference", task)
            self.client.submit(request)
            self._wait([request])
            assert self.client.job(request.job_id).status == JobStatus.SUCCEEDED, self.client.job(request.job_id)
            self.references[task.label] = result_digest(self.client, request)

    def run_round(self, number: int, n_faults: int = FAULTS_PER_ROUND) -> RoundRecord:
        started = time.monotonic()
        record = RoundRecord(number, f"{self._seed}/{number}", _commit())
        submitted: list[Submitted] = []
        tasks = self._tasks(number)
        rng = random.Random(record.seed)
        done, armed = self._inject(rng, n_faults, submitted, tasks)
        self.stack.heal()
        for request in submitted if any(point is Point.STORE_FULL for point, _ in armed) else []:
            request.may_fail_with.add(DISK_FULL)  # any of them may be the one
        self._wait(submitted)
        unused = self.stack.disarm()
        record.faults = [each for each in done if each[0] not in WISHES]
        record.faults += [each for point, each in armed if point not in unused]
        record.wishes = dict(Counter(name for name, _ in done if name in WISHES))
        record.broken = [*check_jobs(self.client, submitted, self.references), *self._processes(), *self._store()]
        record.broken += [f"answer: {text}" for text in self.client.take_surprises()]
        rows = [self.client.job(request.job_id) for request in submitted]
        record.jobs = dict(Counter(row.status for row in rows))
        record.attempts = sum(row.attempts for row in rows)
        record.resumed = count_resumed(self.client, submitted)
        record.seconds = round(time.monotonic() - started, 1)
        return record

    def _tasks(self, number: int) -> Iterator[Submitted]:
        rng = random.Random(f"{self._seed}/{number}/jobs")
        count = 0
        while True:
            task = rng.choice(self._kinds)
            yield Submitted(f"r{number}-{count}", task, _model_name(f"r{number}", task))
            count += 1

    def _inject(
        self, rng: random.Random, n_faults: int, submitted: list[Submitted], tasks: Iterator[Submitted]
    ) -> tuple[list[tuple[str, str]], list[tuple[Point, tuple[str, str]]]]:
        """The faults that were done, and those that are done once a process comes to their point."""
        done: list[tuple[str, str]] = []
        armed: list[tuple[Point, tuple[str, str]]] = []

        def submit(kind: JobKind | None) -> Submitted:
            request = next(each for each in tasks if kind is None or each.task.kind is kind)
            submitted.append(request)
            self.client.submit(request)
            return request

        while len(done) + len(armed) < n_faults:
            still_armed = {point for point, _ in armed}
            offered = [fault for fault in self._faults if fault.point is None or fault.point not in still_armed]
            fault = rng.choices(offered, [fault.weight for fault in offered])[0]
            deadline = time.monotonic() + FAULT_PATIENCE_S
            while time.monotonic() < deadline:
                self._pause(rng.uniform(0.0, LONGEST_GAP_S))
                is_open = self._keep_busy(submitted, tasks)
                text = fault.inject(Target(self.stack, self.client, is_open, rng, submit))
                if text is not None:
                    told = (fault.name, text)
                    done.append(told) if fault.point is None else armed.append((fault.point, told))
                    break
        return done, armed

    def _keep_busy(self, submitted: list[Submitted], tasks: Iterator[Submitted]) -> list[Submitted]:
        """The jobs that have not ended; new ones are submitted when they are few."""
        is_open = [r for r in submitted if not JobStatus(self.client.job(r.job_id).status).is_terminal]
        while len(is_open) < self._n_open:
            request = next(tasks)
            submitted.append(request)
            is_open.append(request)
            self.client.submit(request)
        return is_open

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.stack.go_on()
            time.sleep(0.05)

    def _wait(self, submitted: list[Submitted]) -> None:
        """Until all have ended, or for so long that they never will."""
        deadline = time.monotonic() + END_TIMEOUT_S
        while time.monotonic() < deadline:
            self._pause(0.3)
            if all(JobStatus(self.client.job(r.job_id).status).is_terminal for r in submitted):
                return

    def _processes(self) -> list[str]:
        """What runs on although there is nothing to do."""
        deadline = time.monotonic() + PROCESS_TIMEOUT_S
        while (left := self.stack.processes_left()) and time.monotonic() < deadline:
            time.sleep(0.3)
        return [f"process left: {text}" for text in left]

    def _store(self) -> list[str]:
        return check_store(self.client)


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _model_name(prefix: str, task: Task) -> str:
    """Jobs of one kind in a round make versions of one model, so that they meet at its numbers."""
    return f"{prefix}-{'compositions' if task.label == 'lasso' else 'crystals'}"


def read_records(path: Path) -> list[dict[str, object]]:
    """Rounds that were run before."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
