"""Memory of processes and of NVIDIA GPUs, without importing torch."""

import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

_SMI_TIMEOUT_S = 5.0
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Of one device, in bytes; `used` is that of all processes on it."""

    index: str
    used: int
    total: int


def resident_bytes(pids: Iterable[int]) -> tuple[int, int]:
    """Resident memory of these processes, and of all that they have started; those that ended count nothing."""
    own = below = 0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            own += process.memory_info().rss
            for child in process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    below += child.memory_info().rss
    return own, below


def gpu_memory() -> list[GpuMemory]:
    """Of each GPU that the driver's own tool tells of; none where there is no such tool or it fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_SMI_TIMEOUT_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
    return [
        GpuMemory(row[0], int(row[1]) * _MIB, int(row[2]) * _MIB)
        for row in rows
        if len(row) == 3 and row[1].isdecimal() and row[2].isdecimal()
    ]
