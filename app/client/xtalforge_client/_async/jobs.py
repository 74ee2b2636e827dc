"""What all kinds of jobs have in common: looked at, followed, waited for, ordered about."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any, Generic

import httpx

from xtalforge_client._async.transport import AsyncTransport
from xtalforge_client.calls import EVENT_STREAM, Answer, Call
from xtalforge_client.errors import JobFailed, JobTimeout, ServerUnreachable
from xtalforge_client.models import JobEventList, JobEventRead
from xtalforge_client.progress import bar, show
from xtalforge_client.sse import EventParser
from xtalforge_client.waiting import sleep_async

ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})
SILENCE_S = 45.0
"""Servers send at least a comment every 15 s; a stream that is silent for so long is dead."""
POLL_S = 1.0


class AsyncJobs(Generic[Answer]):
    """Jobs of one kind."""

    _path: str
    _model: type[Answer]

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def get(self, job_id: str) -> Answer:
        """Where a job stands."""
        return await self._transport.ask(Call("GET", f"{self._path}/{{job_id}}", {"job_id": job_id}), self._model)

    async def cancel(self, job_id: str) -> Answer:
        """Stop it, at once or within seconds. Raises Conflict when it has ended."""
        return await self._change(job_id, "cancel")

    async def pause(self, job_id: str) -> Answer:
        """Stop it where it is, to go on from there. Raises Conflict when it cannot be paused."""
        return await self._change(job_id, "pause")

    async def resume(self, job_id: str) -> Answer:
        """Let a paused one go on. Raises Conflict when it is not paused."""
        return await self._change(job_id, "resume")

    async def retry(self, job_id: str) -> Answer:
        """Queue one again that ended without success. Raises Conflict when there is nothing to try again."""
        return await self._change(job_id, "retry")

    async def list(self, status: str | Sequence[str] | None = None) -> AsyncIterator[Answer]:
        """All of them, newest first; `status`: only those in these states."""
        async for item in all_pages(self._transport, Call("GET", self._path, params={"status": status})):
            yield self._model.model_validate(item)

    async def events(self, job_id: str, *, after: int = 0, follow: bool = True) -> AsyncIterator[JobEventRead]:
        """What happened in a job, oldest first, from behind the event numbered `after`.

        With `follow` until the job ends: a stream that breaks is taken up where it broke, as often as it brings
        something between. Without, what there is now.
        """
        failures = 0
        while True:
            page = await self._page(job_id, after)
            for event in page.items:
                after = event.seq
                yield event
            if page.next is None or not (follow or page.items):
                return
            if not follow:
                continue
            seen = after
            try:
                async for event in self._stream(job_id, after):
                    after, failures = event.seq, 0
                    yield event
                if after == seen:
                    await sleep_async(POLL_S)
            except httpx.TransportError as failure:
                failures += 1
                wait_s = self._transport.retry.wait_after_failure(failures, failure, is_repeatable=True)
                if wait_s is None:
                    raise ServerUnreachable(
                        f"the events of {job_id} broke off {failures} times: {failure}"
                    ) from failure
                await sleep_async(wait_s)

    async def wait(self, job_id: str, *, timeout_s: float | None = None, progress: bool = False) -> Answer:
        """The job when it has succeeded. Raises JobFailed when it ends otherwise, JobTimeout when it has not ended in
        `timeout_s`. `progress` shows a bar."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with bar(progress, None, job_id, "") as shown:
            for attempt in count():
                job: Any = await self.get(job_id)
                show(shown, job)
                if job.status in ENDED:
                    break
                pause_s = min(POLL_S, 0.1 * 1.5**attempt)
                if deadline is not None and time.monotonic() + pause_s > deadline:
                    raise JobTimeout(f"{job_id} is {job.status} after {timeout_s:g} s; it goes on.")
                await sleep_async(pause_s)
        if job.status != "succeeded":
            raise JobFailed(job)
        return self._model.model_validate(job)

    async def _change(self, job_id: str, what: str) -> Answer:
        call = Call("POST", f"{self._path}/{{job_id}}/{what}", {"job_id": job_id}, is_repeatable=False)
        return await self._transport.ask(call, self._model)

    async def _page(self, job_id: str, after: int) -> JobEventList:
        call = Call("GET", f"{self._path}/{{job_id}}/events", {"job_id": job_id}, params={"after": after})
        return await self._transport.ask(call, JobEventList)

    async def _stream(self, job_id: str, after: int) -> AsyncIterator[JobEventRead]:
        headers = {"Accept": EVENT_STREAM, "Last-Event-ID": str(after)}
        call = Call("GET", f"{self._path}/{{job_id}}/events", {"job_id": job_id}, headers=headers)
        parser = EventParser()
        async with self._transport.stream(call, SILENCE_S) as response:
            async for line in response.aiter_lines():
                found = parser.feed(line)
                if found is not None:
                    yield JobEventRead.model_validate(json.loads(found.data))


async def all_pages(transport: AsyncTransport, call: Call) -> AsyncIterator[Any]:
    """The items of a list, page by page, as they are in JSON."""
    cursor: str | None = None
    while True:
        params = {**call.params, "cursor": cursor}
        page = (await transport.send(Call(call.method, call.path, call.values, params))).json()
        for item in page["items"]:
            yield item
        cursor = page.get("next")
        if cursor is None:
            return
