"""Users of the service: `xtalforge_client`'s own transport, with every attempt on record.

Open loop: requests begin when they are due, however long earlier ones take, and latencies count from then.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx
import numpy as np

from benchmarks.endurance_mix import Ask, JobAsk, Mix
from xtalforge_client._async.jobs import AsyncJobs
from xtalforge_client._async.resources import AsyncBulkPredictions, AsyncFineTuning, AsyncScreenings
from xtalforge_client._async.transport import AsyncTransport
from xtalforge_client.calls import Call
from xtalforge_client.errors import ServerError, ServerUnreachable
from xtalforge_client.retry import REFUSED, RetryPolicy, retry_after_of

TIMEOUT = httpx.Timeout(120.0, connect=10.0)
N_CLIENTS = 32
"""Pools of connections. Each request goes through all of its pool: with one pool and thousands waiting, for seconds."""
KEPT_CONNECTIONS = 2
MAX_OPEN = 3_000
"""Calls without an answer at which the service has fallen behind for good; a kill leaves some hundred at most."""
_PARTS: dict[str, type[AsyncJobs[Any]]] = {
    "/v1/fine-tuning/jobs": AsyncFineTuning, "/v1/bulk-predictions": AsyncBulkPredictions,
    "/v1/screenings": AsyncScreenings,
}  # fmt: skip


@dataclass(slots=True)
class Trouble:
    """An attempt that brought no answer, or the answer to come later. Times are those of `time.monotonic`."""

    at: float
    what: str
    """`429 queue_full`, `ReadError`, ..."""
    is_retried: bool
    has_retry_after: bool = True


@dataclass(slots=True)
class Record:
    """One call: when it was due, begun and answered, and how. `status` 0: no answer came."""

    kind: str
    due: float
    begun: float = 0.0
    ended: float = 0.0
    status: int = 0
    wrong: str = ""
    troubles: list[Trouble] = field(default_factory=list)


@dataclass(slots=True)
class JobRecord:
    """A job that was asked for; `job_id` is empty when nobody accepted it."""

    ask: JobAsk
    due: float
    job_id: str = ""
    cancel_asked: bool = False
    status: str = ""
    n_events: int = 0
    n_streams: int = 0
    finished: float = 0.0
    wrong: list[str] = field(default_factory=list)


_current: ContextVar[Record] = ContextVar("current")


class _Recording(RetryPolicy):
    """The client's own policy; what it is asked about is put on the record of the call."""

    def wait_after_response(self, attempt: int, response: httpx.Response, is_repeatable: bool) -> float | None:
        wait_s = super().wait_after_response(attempt, response, is_repeatable)
        if response.status_code in REFUSED:
            record, has_date = _current.get(), retry_after_of(response) is not None
            what = f"{response.status_code} {_code(response)}"
            record.troubles.append(Trouble(time.monotonic(), what, wait_s is not None, has_date))
        return wait_s

    def wait_after_failure(self, attempt: int, failure: httpx.TransportError, is_repeatable: bool) -> float | None:
        wait_s = super().wait_after_failure(attempt, failure, is_repeatable)
        _current.get().troubles.append(Trouble(time.monotonic(), type(failure).__name__, wait_s is not None))
        return wait_s


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json()["code"])
    except (ValueError, KeyError, TypeError, httpx.ResponseNotRead):
        return "without a problem document"


class Users:
    """Everybody who uses one service; all that they met is in `records` and `jobs`."""

    def __init__(self, url: str, mix: Mix) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS)
        clients = [httpx.AsyncClient(base_url=url, timeout=TIMEOUT, limits=limits) for _ in range(N_CLIENTS)]
        self._transports = [AsyncTransport(client, _Recording()) for client in clients]
        self._turns = cycle(self._transports)
        self.mix = mix
        self.records: list[Record] = []
        self.jobs: list[JobRecord] = []
        self.dataset_id = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._n_asked = 0

    async def prepare(self) -> None:
        """What is there before anybody looks: the data set that jobs train on, and the files of the page."""
        _current.set(Record("preparation", time.monotonic()))
        transport = next(self._turns)
        self.dataset_id = (await transport.send(self.mix.dataset())).json()["id"]
        page = (await transport.send(Call("GET", "/"))).text
        linked = {part.split('"')[0] for mark in ('src="', 'href="') for part in page.split(mark)[1:]}
        self.mix.pages = ["/", "/docs", *sorted(each for each in linked if each.startswith("/ui/"))]

    async def closed(self, seconds: float, connections: int) -> None:
        """Each connection sends its next request when its last was answered."""
        until = time.monotonic() + seconds

        async def user() -> None:
            while time.monotonic() < until:
                await self._ask(self.mix.next(), time.monotonic())

        await asyncio.gather(*(user() for _ in range(connections)))

    async def closed_jobs(self, seconds: float, n_open: int = 2) -> None:
        """So many jobs at any time, so that the worker is never idle; those open at the end go on."""
        until = time.monotonic() + seconds

        async def user() -> None:
            while time.monotonic() < until:
                await self._job(time.monotonic())

        for _ in range(n_open):
            self._begin(user())
        await asyncio.sleep(seconds)

    async def open(self, seconds: float, per_s: float, jobs_per_s: float, seed: int) -> bool:
        """Independent users: exponential times between requests, and between jobs. Whether all were sent in the end;
        not where `MAX_OPEN` wait for an answer."""
        due = [(at, self._ask_next) for at in _arrivals(np.random.default_rng([seed, 2]), seconds, per_s)]
        due += [(at, self._job) for at in _arrivals(np.random.default_rng([seed, 3]), seconds, jobs_per_s)]
        begin = time.monotonic()
        for at, what in sorted(due, key=lambda each: each[0]):
            if (ahead := begin + at - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            if len(self._tasks) >= MAX_OPEN:
                return False
            self._begin(what(begin + at))
        return True

    async def quiet(self, timeout_s: float) -> None:
        """Until no request of the mix waits for an answer; jobs may still run."""
        until = time.monotonic() + timeout_s
        while self._n_asked and time.monotonic() < until:
            await asyncio.sleep(0.1)

    def is_of_mix(self, record: Record) -> bool:
        """Whether it is an answer to a request of the mix."""
        return record.kind in self.mix.weights and record.status > 0

    async def drain(self, timeout_s: float) -> None:
        """Until every request is answered and every job has ended, or never will."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(transport.http.aclose() for transport in self._transports))

    def job_maker(self) -> Callable[[], None]:
        """For other threads: one more job, now."""
        loop = asyncio.get_running_loop()

        def make() -> None:
            loop.call_soon_threadsafe(lambda: self._begin(self._job(time.monotonic())))

        return make

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_next(self, due: float) -> None:
        await self._ask(self.mix.next(), due)

    async def _ask(self, ask: Ask, due: float) -> None:
        self._n_asked += 1
        try:
            record, response = await self._send(ask.kind, ask.call, due, ask.refused_with)
        finally:
            self._n_asked -= 1
        if response is not None:
            record.wrong = ask.check(response) or ""

    async def _send(
        self, kind: str, call: Call, due: float, refused_with: int | None = None
    ) -> tuple[Record, httpx.Response | None]:
        """What became of it, and the answer where it was a good one."""
        record = Record(kind, due, time.monotonic())
        _current.set(record)
        response = None
        try:
            response = await next(self._turns).send(call)
            record.status = response.status_code
        except ServerError as error:
            record.status = error.status
            if error.status not in (refused_with, *REFUSED):
                record.wrong = f"{error.status} {error.code}: {error.detail[:200]}"
        except ServerUnreachable as error:
            record.wrong = str(error)[:200]
        record.ended = time.monotonic()
        self.records.append(record)
        return record, response

    async def _job(self, due: float) -> None:
        """Make a job, follow its events to its end, and look at it."""
        ask = self.mix.next_job(self.dataset_id)
        record = JobRecord(ask, due)
        self.jobs.append(record)
        sent = [self._send(f"job {ask.method}", ask.call, due) for _ in range(1 + ask.is_sent_twice)]
        answers = [answer for _, answer in await asyncio.gather(*sent) if answer is not None]
        ids = {answer.json()["id"] for answer in answers}
        if not ids:
            return
        record.job_id = min(ids)
        if len(ids) > 1:
            record.wrong.append(f"one key, {len(ids)} jobs")
        if ask.is_cancelled:
            record.cancel_asked = True
            path = f"{ask.path}/{record.job_id}/cancel"
            # 409: it ended first.
            await self._send("cancel", Call("POST", path, is_repeatable=False), time.monotonic(), 409)
        await self._follow(record)

    async def _follow(self, record: JobRecord) -> None:
        part = _PARTS[record.ask.path](next(self._turns))
        calls = Record("events", time.monotonic(), time.monotonic())
        _current.set(calls)
        while True:
            record.n_streams += 1
            try:
                async for event in part.events(record.job_id, after=record.n_events):
                    if event.seq != record.n_events + 1:
                        record.wrong.append(f"event {event.seq} came after {record.n_events}")
                    record.n_events = event.seq
                break
            except ServerError as error:
                if error.status not in REFUSED:
                    calls.wrong = f"{error.status} {error.code}: {error.detail[:200]}"
                    break
            except ServerUnreachable as error:
                record.wrong.append(str(error)[:200])
                break
        calls.ended = record.finished = time.monotonic()
        calls.status = 0 if calls.wrong else 200
        self.records.append(calls)
        _, answer = await self._send("read", Call("GET", f"{record.ask.path}/{record.job_id}"), time.monotonic())
        record.status = answer.json()["status"] if answer is not None else ""


def _arrivals(rng: np.random.Generator, seconds: float, per_s: float) -> list[float]:
    n = int(rng.poisson(seconds * per_s))
    return sorted(float(at) for at in rng.uniform(0, seconds, n))


def count_troubles(records: list[Record]) -> dict[str, int]:
    """By what went wrong with single attempts."""
    return dict(Counter(trouble.what for record in records for trouble in record.troubles).most_common())
