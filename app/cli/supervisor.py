"""Keeps a few child processes running: labelled output, restarts, and nobody left behind at the end."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass

import psutil

MAX_LINE_BYTES = 1 << 20
FIRST_RESTART_DELAY_S = 1.0
LAST_RESTART_DELAY_S = 30.0
STABLE_AFTER_S = 20.0
MAX_EARLY_DEATHS = 5
_PR_SET_CHILD_SUBREAPER = 36

Report = Callable[[str, str], None]
"""Takes the name of a service and a line about or from it."""


@dataclass(frozen=True, slots=True)
class Service:
    """One child process. `stop_rank`: lower ones are stopped first, all of a rank at the same time."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    stdin: bytes = b""
    stop_rank: int = 0
    grace_s: float = 5.0


@dataclass(slots=True)
class _Running:
    service: Service
    process: Process | None = None
    early_deaths: int = 0


class ServiceFailed(Exception):
    """A service that keeps dying right after its start."""


class Supervisor:
    """Start services, restart those that die, stop all. Children that were there before are left alone."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._running: list[_Running] = []
        self._pumps: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._others = {child.pid for child in psutil.Process().children()}
        _adopt_orphans()

    async def start(self, service: Service) -> "asyncio.Task[None]":
        """Start it, and keep it running until `stop`; the task fails with ServiceFailed when that is hopeless."""
        running = _Running(service)
        self._running.append(running)
        await self._spawn(running)
        return asyncio.create_task(self._keep(running), name=f"keep {service.name}")

    async def stop(self) -> None:
        """End every child and whatever they have started: SIGTERM, and SIGKILL after each service's grace."""
        self._is_stopping = True
        for rank in sorted({running.service.stop_rank for running in self._running}):
            await asyncio.gather(*(self._end(r) for r in self._running if r.service.stop_rank == rank))
        await asyncio.to_thread(_kill_descendants, self._others)
        await asyncio.gather(*self._pumps)

    async def _keep(self, running: _Running) -> None:
        service, delay_s = running.service, FIRST_RESTART_DELAY_S
        while True:
            started = time.monotonic()
            assert running.process is not None
            code = await running.process.wait()
            if self._is_stopping:
                return
            # What the dead one had started would go on beside its successor.
            _kill_group(running.process.pid)
            if time.monotonic() - started > STABLE_AFTER_S:
                running.early_deaths, delay_s = 0, FIRST_RESTART_DELAY_S
            running.early_deaths += 1
            if running.early_deaths >= MAX_EARLY_DEATHS:
                raise ServiceFailed(f"{service.name} ended {running.early_deaths} times right after its start")
            self._report(service.name, f"ended ({_exit_reason(code)}); starting it again in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LAST_RESTART_DELAY_S)
            if self._is_stopping:
                return
            _reap_adopted(self._others | {r.process.pid for r in self._running if r.process is not None})
            await self._spawn(running)

    async def _spawn(self, running: _Running) -> None:
        service = running.service
        # A pipe of our own: asyncio's would delay `wait` until also every grandchild that inherited it has ended.
        output, output_end = os.pipe()
        running.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli.launcher", str(os.getpid()), *service.command),
            stdin=PIPE if service.stdin else DEVNULL,
            stdout=output_end,
            stderr=STDOUT,
            env={**os.environ, **service.environment},
            # Ctrl-C goes to the foreground group: the children must hear it from here, in order.
            process_group=0,
        )
        if running.process.stdin is not None:
            running.process.stdin.write(service.stdin)
            running.process.stdin.close()
        os.close(output_end)
        pump = asyncio.create_task(self._pump(service.name, output))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    async def _pump(self, name: str, output: int) -> None:
        """Report the lines of a pipe until nobody can write to it any more."""
        reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(output, "rb")
        )
        try:
            while line := await _read_line(reader):
                self._report(name, line.decode(errors="replace").rstrip())
        finally:
            transport.close()

    async def _end(self, running: _Running) -> None:
        process = running.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), running.service.grace_s)
        except TimeoutError:
            self._report(running.service.name, f"did not stop within {running.service.grace_s:g} s; killing it")
            process.kill()
            await process.wait()


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # longer than the buffer, which is then emptied
        return b"(a line too long to show)\n"


def _exit_reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _adopt_orphans() -> None:
    """Make descendants whose parent died children of this process, so that they can be found and ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:  # nobody of it is left
        return


def _reap_adopted(own: Set[int]) -> None:
    """Collect the exit status of orphans that ended here; asyncio does so for the `own` children only."""
    for child in psutil.Process().children():
        if child.pid not in own:
            try:
                os.waitpid(child.pid, os.WNOHANG)
            except ChildProcessError:
                continue


def _kill_descendants(others: Set[int]) -> None:
    """All but the children `others` and theirs."""
    doomed: list[psutil.Process] = []
    for child in psutil.Process().children():
        if child.pid not in others:
            with suppress(psutil.NoSuchProcess):
                doomed += [child, *child.children(recursive=True)]
    for process in doomed:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(doomed, timeout=3)
