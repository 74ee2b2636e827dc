"""The CIF files of a set, by number. Standard library only."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Span = Sequence[int]
"""start, stop, step of the files of a set in order of their names."""


def cif_paths(folder: str, span: Span) -> list[Path]:
    """The files of a set at `span`."""
    return sorted(Path(folder).glob("*.cif"))[slice(*span)]


def one_by_one(predict: Callable[[Path], Any], paths: Sequence[Path]) -> dict[str, Any]:
    """Median time of one prediction, with the 95th percentile, s."""
    seconds = []
    for path in paths:
        started = time.perf_counter()
        predict(path)
        seconds.append(time.perf_counter() - started)
    seconds.sort()
    return {
        "value": seconds[len(seconds) // 2],
        "extra": {"p95_s": seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]},
    }
