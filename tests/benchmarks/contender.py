"""A contender for tests of the harness: loads, works, fails or dies as it is told."""

import os
from typing import Any


class Contender:
    def __init__(self, broken: bool = False) -> None:
        if broken:
            raise ImportError("no such package")
        print("packages print what they like")

    def about(self) -> dict[str, Any]:
        return {"package": "test 1"}

    def add(self, a: int, b: int) -> dict[str, Any]:
        print("also while they work")
        return {"sum": a + b}

    def fail(self) -> None:
        raise ValueError("cannot do this\nsecond line")

    def die(self) -> None:
        os._exit(3)
