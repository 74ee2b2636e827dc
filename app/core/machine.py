"""Versions, memory of processes and of NVIDIA GPUs, without importing torch."""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from platform import python_version

import psutil
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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


class MachineCollector(Collector):
    """These, as Prometheus metrics of some processes together."""

    def __init__(self, pids: Callable[[], Iterable[int]], role: str, role_below: str) -> None:
        """`role_below` names what the processes have started."""
        self._pids = pids
        self._roles = (role, role_below)

    def describe(self) -> Iterable[Metric]:
        """Nothing: else the registry would collect when it is told of this collector."""
        return []

    def collect(self) -> Iterable[Metric]:
        build = GaugeMetricFamily("xtalforge_build_info", "Versions; always 1.", labels=["version", "python"])
        build.add_metric([version("xtalforge"), python_version()], 1)
        pids = list(self._pids())
        memory = GaugeMetricFamily(
            "xtalforge_resident_memory_bytes", "Of the processes and of those they have started.", labels=["role"]
        )
        for role, size in zip(self._roles, resident_bytes(pids), strict=True):
            memory.add_metric([role], size)
        processes = GaugeMetricFamily(
            "xtalforge_processes", "Processes that share this answer, without what they started.", len(pids)
        )
        return [build, memory, processes, *_gpu_families()]


def _gpu_families() -> list[Metric]:
    """Nothing where there are no GPUs."""
    used = GaugeMetricFamily("xtalforge_gpu_memory_used_bytes", "By all processes.", labels=["gpu"])
    total = GaugeMetricFamily("xtalforge_gpu_memory_total_bytes", "Of the device.", labels=["gpu"])
    devices = gpu_memory()
    for device in devices:
        used.add_metric([device.index], device.used)
        total.add_metric([device.index], device.total)
    return [used, total] if devices else []
