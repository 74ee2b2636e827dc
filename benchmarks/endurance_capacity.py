"""What a service can answer: in closed loop, and in open loop for long."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.endurance_client import Users
from benchmarks.endurance_kills import Killer

CONNECTIONS = 16
STEPS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
"""Rates that are tried in open loop, as shares of that in closed loop: there the next request waits for an answer, and
hands its connection on, so that the same machine answers more."""
HELD_WITHIN_S = 2.0
"""A rate is held while 95 % of the requests in the second half of its step are answered within this time."""
MOST_QUIET_S = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """One rate in open loop. `p95_s`: of the requests in its second half; infinite when most were never sent."""

    per_s: float
    p95_s: float

    @property
    def is_held(self) -> bool:
        return self.p95_s <= HELD_WITHIN_S


async def capacity(
    users: Users, killer: Killer, closed_s: float, step_s: float, shares: Sequence[float], seed: int
) -> dict[str, Any]:
    """Beside jobs that always run: requests a second in closed loop, while processes are killed, and how many jobs a
    minute the worker then does; then the highest rate in open loop that is held."""
    closed, jobs_per_minute = await _closed(users, killer, closed_s)
    steps = await _steps(users, [share * closed for share in shares], step_s, seed)
    return {
        "connections": CONNECTIONS, "seconds": closed_s, "kills": len(killer.done), "closed_per_s": round(closed, 1),
        "jobs_per_minute": round(jobs_per_minute, 2), "step_s": step_s, "steps": [asdict(step) for step in steps],
        "requests_per_s": round(max([step.per_s for step in steps if step.is_held], default=steps[0].per_s), 1),
    }  # fmt: skip


async def _closed(users: Users, killer: Killer, seconds: float) -> tuple[float, float]:
    jobs = asyncio.create_task(users.closed_jobs(seconds))
    begun = time.monotonic()
    killer.start()
    await users.closed(seconds, CONNECTIONS)
    taken = time.monotonic() - begun
    await asyncio.to_thread(killer.stop)
    await jobs
    answered = [record for record in users.records if record.due >= begun and users.is_of_mix(record)]
    done = sum(bool(job.finished) and job.finished >= begun for job in users.jobs)
    # A job that is under way counts, or a short phase would see none.
    return len(answered) / taken, 60 * (done + 0.5) / taken


async def _steps(users: Users, rates: Sequence[float], step_s: float, seed: int) -> list[Step]:
    """Up to the first that is not held."""
    steps: list[Step] = []
    for number, per_s in enumerate(rates):
        begun = time.monotonic()
        jobs = asyncio.create_task(users.closed_jobs(step_s))
        sent = await users.open(step_s, per_s, 0.0, 1000 * seed + number)
        await jobs
        await users.quiet(MOST_QUIET_S)
        records = [r for r in users.records if r.due >= begun + step_s / 2 and users.is_of_mix(r)]
        waits = [record.ended - record.due for record in records]
        p95 = float(np.percentile(waits, 95)) if sent and waits else float("inf")
        steps.append(Step(round(per_s, 1), round(p95, 3)))
        if not steps[-1].is_held:
            break
    return steps
