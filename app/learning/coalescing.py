"""Calls that arrive while another one is computed are computed together, in micro-batches, next."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Call(Generic[Item, Answer]):
    """One caller's items; `wake` is released when all are answered or when the caller is to lead."""

    __slots__ = ("answers", "error", "items", "leads", "taken", "wake")

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.answers: list[Answer] = []
        self.taken = 0
        self.error: BaseException | None = None
        self.leads = False
        self.wake = threading.Lock()
        self.wake.acquire()

    @property
    def is_done(self) -> bool:
        return self.error is not None or len(self.answers) == len(self.items)


class Coalescer(Generic[Item, Answer]):
    """Merges concurrent calls of `run`. It has no thread and no timer of its own.

    A caller that finds it idle computes at once; those that come meanwhile wait, and one of them computes the next
    micro-batch for all. A micro-batch costs at most `max_cost` (one item may cost more) and holds a share of every
    waiting call, so that one with a thousand items does not keep the others waiting.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Sequence[Answer]], cost: Callable[[Item], int], max_cost: int
    ) -> None:
        """`run` gives one answer per item, in order."""
        self._run = run
        self._cost = cost
        self._max_cost = max_cost
        self._lock = threading.Lock()
        self._waiting: deque[_Call[Item, Answer]] = deque()
        self._is_led = False

    def __call__(self, items: Sequence[Item]) -> list[Answer]:
        """The answers of these items. Raises what `run` raised for a micro-batch with one of them."""
        if not items:
            return []
        call: _Call[Item, Answer] = _Call(items)
        with self._lock:
            self._waiting.append(call)
            call.leads = not self._is_led
            self._is_led = True
        if not call.leads:
            call.wake.acquire()
        if call.leads:
            self._lead(call)
        if call.error is not None:
            raise call.error
        return call.answers

    def _lead(self, own: _Call[Item, Answer]) -> None:
        """Compute micro-batches until the own call is answered, then let the first that waits go on."""
        while not own.is_done:
            self._compute_next()
        with self._lock:
            following = self._waiting[0] if self._waiting else None
            self._is_led = following is not None
            if following is not None:
                following.leads = True
        if following is not None:
            following.wake.release()

    def _compute_next(self) -> None:
        with self._lock:
            parts = self._next_parts()
        merged = [item for call, start, stop in parts for item in call.items[start:stop]]
        answers: Sequence[Answer] = ()
        error: BaseException | None = None
        try:
            answers = self._run(merged)
            if len(answers) != len(merged):
                raise RuntimeError(f"{len(merged)} items got {len(answers)} answers")
        except BaseException as raised:  # noqa: BLE001 - belongs to the callers; the others must be led on
            error = raised
        with self._lock:
            at = 0
            for call, start, stop in parts:
                call.error = error
                call.answers.extend(answers[at : at + stop - start])
                at += stop - start
            done = [call for call, _, _ in parts if call.is_done]
            for call in done:
                self._waiting.remove(call)
            # Whoever was served last is served first next time.
            self._waiting.rotate(-sum(not call.is_done for call, _, _ in parts))
        for call in done:
            if not call.leads:
                call.wake.release()

    def _next_parts(self) -> list[tuple[_Call[Item, Answer], int, int]]:
        """Which items of which calls come next: an equal share of each call, then what is left of the budget."""
        share = self._max_cost // len(self._waiting)
        parts: dict[int, tuple[_Call[Item, Answer], int, int]] = {}
        used = 0
        for most in (share, self._max_cost):
            for index, call in enumerate(self._waiting):
                start, taken_cost = call.taken, 0
                while call.taken < len(call.items):
                    cost = min(self._cost(call.items[call.taken]), self._max_cost)
                    if used and (used + cost > self._max_cost or taken_cost + cost > most):
                        break
                    used += cost
                    taken_cost += cost
                    call.taken += 1
                if call.taken > start:
                    first = parts[index][1] if index in parts else start
                    parts[index] = (call, first, call.taken)
        return list(parts.values())
