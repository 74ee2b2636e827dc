"""Calls that really start at the same moment."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def run_at_once(function: Callable[[Argument], Result], arguments: Iterable[Argument]) -> list[Result]:
    """Call the function with each argument, every call in a thread of its own; raises the first error."""
    listed = list(arguments)
    start = threading.Barrier(len(listed))

    def call(argument: Argument) -> Result:
        start.wait()
        return function(argument)

    with ThreadPoolExecutor(len(listed)) as pool:
        return list(pool.map(call, listed))
