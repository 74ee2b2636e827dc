"""The process a contender runs in: `python -m benchmarks.peers.worker MODULE ARGUMENTS`, requests on standard input.

Started by `benchmarks.harness.Worker`. Whatever the packages print goes to standard error.
"""

import gc
import importlib
import json
import os
import resource
import sys
import time
import warnings
from typing import Any


def peak_rss_mb() -> float:
    """Largest resident set of this process since it was started, MB."""
    try:
        with open("/proc/self/status") as status:
            # Unlike getrusage, this does not begin with what the parent had.
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended, s."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def answer(data: dict[str, Any]) -> None:
        answers.write(json.dumps(data) + "\n")

    try:
        contender = importlib.import_module(sys.argv[1]).Contender(**json.loads(sys.argv[2]))
    except Exception as error:  # noqa: BLE001 - whatever a package raises is why it is not measured
        answer({"error": _reason(error)})
        return
    answer(contender.about() | {"peak_rss_mb": peak_rss_mb()})
    for line in sys.stdin:
        request = json.loads(line)
        if request["method"] == "collect":
            gc.collect()
            answer({})
            continue
        wall, cpu = time.perf_counter(), cpu_seconds()
        try:
            result = getattr(contender, request["method"])(**request["arguments"])
        except Exception as error:  # noqa: BLE001
            answer({"error": _reason(error)})
            continue
        elapsed = {"wall_s": time.perf_counter() - wall, "cpu_s": cpu_seconds() - cpu}
        answer(elapsed | {"peak_rss_mb": peak_rss_mb()} | (result or {}))


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}"


if __name__ == "__main__":
    main()
